import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { MongoClient } from 'mongodb'
import { test } from 'tap'
import { startNode } from '../helpers/process.ts'
import { serversPlace } from '../helpers/stores.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { missingShared } from '../servers/shared.ts'

const PROGRAM = fileURLToPath(new URL('../../bin/sallyport.ts', import.meta.url))
const REPLICAS = 3

test('several at once bring an empty folder up to date, once', async (t) => {
  const DATA_DIR = join(temporaryFolder(t), 'data')
  const all = Array.from({ length: REPLICAS }, () => startNode(t, PROGRAM, { args: ['migrate'], env: { DATA_DIR } }))
  for (const child of all) {
    t.match(await child.waitForExit(), { code: 0 }, child.stderr())
    t.equal(child.stdout(), 'SQLite: up to date\n')
  }
  const db = new DatabaseSync(join(DATA_DIR, 'sallyport.db'))
  const version = () => db.prepare('PRAGMA user_version').get()?.user_version
  const before = version()
  t.ok(Number(before) > 1)
  const tables = db
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
    .all()
    .map(({ name }) => name)
  for (const name of ['users', 'sessions', 'ledger', 'signingKeys', 'oneTimeTokens']) t.ok(tables.includes(name), name)
  const again = startNode(t, PROGRAM, { args: ['migrate'], env: { DATA_DIR } })
  t.match(await again.waitForExit(), { code: 0 })
  t.equal(version(), before)
  db.close()
})

test('several at once bring an empty MongoDB up to date, while issuers start', {
  skip: await missingShared('mongo', 'redis'),
}, async (t) => {
  const { settings } = await serversPlace(t)
  const { MONGO_URL, REDIS_URL, REDIS_PREFIX } = settings as {
    MONGO_URL: string
    REDIS_URL: string
    REDIS_PREFIX: string
  }
  const env = {
    MONGO_URL,
    REDIS_URL,
    REDIS_PREFIX,
    MASTER_KEY: 'a master key that only the tests know and no one else',
    ISSUER_PORT: '0',
    ISSUER_URL: 'http://issuer.example',
  }
  const issuers = Array.from({ length: 2 }, () => startNode(t, PROGRAM, { args: ['issuer'], env }))
  const all = Array.from({ length: REPLICAS }, () => startNode(t, PROGRAM, { args: ['migrate'], env }))
  for (const child of all) {
    t.match(await child.waitForExit(90_000), { code: 0 }, child.stderr())
    t.equal(child.stdout(), 'MongoDB, Redis: up to date\n')
  }
  for (const issuer of issuers) await issuer.waitForLine(/"msg":"listening"/, 90_000)

  const client = new MongoClient(MONGO_URL)
  const db = client.db()
  const steps = await db.collection<{ _id: number }>('migrations').find().sort({ _id: 1 }).toArray()
  t.same(
    steps.map(({ _id }) => _id),
    Array.from({ length: steps.length }, (_, n) => n + 1),
  )
  const unique = (await db.collection('users').indexes())
    .filter((index) => index.unique)
    .map(({ key }) => Object.keys(key)[0])
  t.same(unique.sort(), ['emailKey', 'usernameKey'])
  await client.close()
})

test('a store that is away is said, with exit code 1', async (t) => {
  const env = {
    MONGO_URL: 'mongodb://127.0.0.1:1/?directConnection=true',
    MASTER_KEY: 'a master key that only the tests know and no one else',
    DATA_DIR: join(temporaryFolder(t), 'data'),
  }
  const child = startNode(t, PROGRAM, { args: ['migrate'], env })
  t.match(await child.waitForExit(90_000), { code: 1 })
  t.match(child.stderr(), /^sallyport: MongoDB is not available/m)
})
