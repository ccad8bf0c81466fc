import { type CommandStartedEvent, type Db, MongoClient, MongoNetworkError, MongoServerError } from 'mongodb'
import { type Test, test } from 'tap'
import { createReadById } from '../../../../issuer/adapters/mongo/gathered-reads.ts'
import { StoreUnavailable } from '../../../../issuer/domain/ports.ts'
import { dropDatabase } from '../../../helpers/drop-database.ts'
import { uniqueName } from '../../../helpers/unique-name.ts'
import { missingShared, sharedUrl } from '../../../servers/shared.ts'

interface Thing {
  _id: string
  value: number
}

const skip = await missingShared('mongo')

/** A collection of the test's own with documents `0` to `299`, and the reads that were sent. */
async function build(t: Test) {
  const client = new MongoClient(await sharedUrl('mongo'), { monitorCommands: true })
  const db = client.db(uniqueName('gathered'))
  t.teardown(async () => {
    await dropDatabase(db).catch(() => {})
    await client.close()
  })
  const things = db.collection<Thing>('things')
  await things.insertMany(Array.from({ length: 300 }, (_, value) => ({ _id: String(value), value })))
  const sent: CommandStartedEvent['command'][] = []
  client.on('commandStarted', ({ commandName, command }) => {
    if (/^(find|getMore)$/.test(commandName)) sent.push(command)
  })
  return { db, read: createReadById<Thing>(db, 'things'), sent }
}

test('what is asked for in one turn is one command, and everyone gets their own', { skip }, async (t) => {
  const { read, sent } = await build(t)
  const found = await Promise.all(['7', 'none', '3', '7'].map(read))
  t.same(found, [{ _id: '7', value: 7 }, undefined, { _id: '3', value: 3 }, { _id: '7', value: 7 }])
  t.equal(sent.length, 1)
  t.match(sent[0], { readConcern: { level: 'linearizable' }, singleBatch: true, maxTimeMS: Number })

  sent.length = 0
  await Promise.all(['1', '2'].map((id) => Promise.resolve().then(() => read(id))))
  t.equal(sent.length, 1, 'also what other answers of the turn bring about')

  sent.length = 0
  t.same(await read('5'), { _id: '5', value: 5 })
  t.same(await read('none'), undefined)
  t.equal(sent.length, 2, 'nobody waits for others to come')
})

test('so many at once that they take several commands', { skip }, async (t) => {
  const { read, sent } = await build(t)
  const ids = Array.from({ length: 300 }, (_, value) => String(value))
  const found = await Promise.all(ids.map(read))
  t.same(
    found.map((thing) => thing?.value),
    ids.map(Number),
  )
  t.equal(sent.length, 3)
  t.notOk(
    sent.some(({ getMore }) => getMore),
    'each answered at once',
  )
})

test('an id is a value and never an operator', { skip }, async (t) => {
  const { read } = await build(t)
  const operator = { $gt: '' } as unknown as string
  t.equal(await read(operator), undefined)
  t.same(await Promise.all([read(operator), read('1')]), [undefined, { _id: '1', value: 1 }])
})

/** The same database, whose commands, and with `reads` its reads by cursor too, fail as long as `error` is there. */
function failing(db: Db, { reads }: { reads: boolean }) {
  const fault: { error: Error | undefined } = { error: undefined }
  const fail = () => Promise.reject(fault.error)
  const failed = new Proxy(db, {
    get(target, key) {
      if (key === 'command' && fault.error) return fail
      if (key === 'collection' && fault.error && reads) return () => ({ find: () => ({ toArray: fail }) })
      const member = Reflect.get(target, key)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
  return { db: failed, fault }
}

test('a failure is that of everyone who waited for it, and not of the next', { skip }, async (t) => {
  const { db, fault } = failing((await build(t)).db, { reads: true })
  const read = createReadById<Thing>(db, 'things')
  fault.error = new MongoNetworkError('lost')
  const failed = await Promise.allSettled(['1', '2'].map(read))
  for (const outcome of failed) t.type((outcome as PromiseRejectedResult).reason, StoreUnavailable)
  fault.error = undefined
  t.same(await read('1'), { _id: '1', value: 1 })
})

test('when the connection breaks or another server leads, it is read once more', { skip }, async (t) => {
  const built = await build(t)
  const { db, fault } = failing(built.db, { reads: false })
  const read = createReadById<Thing>(db, 'things', { _id: 1 })
  for (const error of [new MongoNetworkError('lost'), new MongoServerError({ message: 'not primary', code: 10107 })]) {
    fault.error = error
    built.sent.length = 0
    t.same(await Promise.all(['1', 'none'].map(read)), [{ _id: '1' }, undefined], error.message)
    t.match(built.sent, [{ readConcern: { level: 'linearizable' }, maxTimeMS: Number }])
  }
  fault.error = new MongoServerError({ message: 'took too long', code: 50 })
  await t.rejects(read('1'), { name: 'StoreUnavailable' }, 'a server that has too much to do is not given more')
})
