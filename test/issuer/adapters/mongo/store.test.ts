import { MongoClient } from 'mongodb'
import { test } from 'tap'
import { aUser, serversPlace } from '../../../helpers/stores.ts'
import { missingShared } from '../../../servers/shared.ts'

type Stored = { _id: string } & Record<string, unknown>
const byName = (a: { name?: string }, b: { name?: string }) => ((a.name ?? '') < (b.name ?? '') ? -1 : 1)

test('MongoDB: what is in the collections', { skip: await missingShared('mongo', 'redis') }, async (t) => {
  const place = await serversPlace(t)
  const replicas = await Promise.all(Array.from({ length: 5 }, () => place.open()))
  const client = new MongoClient(place.settings.MONGO_URL!)
  t.teardown(() => client.close())
  const db = client.db()
  const indexes = async (collection: string) =>
    (await db.collection(collection).indexes()).sort(byName).map(({ key, unique, expireAfterSeconds }) => ({
      key: Object.keys(key).join(),
      ...(unique && { unique }),
      ...(expireAfterSeconds !== undefined && { expireAfterSeconds }),
    }))

  t.test('five replicas that start at once migrate it once', async (t) => {
    t.same(await indexes('users'), [
      { key: '_id' },
      { key: 'createdAt,_id' },
      { key: 'emailKey', unique: true },
      { key: 'isActive,createdAt,_id' },
      { key: 'isVerified,createdAt,_id' },
      { key: 'roles,createdAt,_id' },
      { key: 'tier,createdAt,_id' },
      { key: 'usernameKey', unique: true },
    ])
    t.same(await indexes('ledger'), [
      { key: '_id' },
      { key: 'at' },
      { key: 'at,_id' },
      { key: 'keepUntil', expireAfterSeconds: 0 },
      { key: 'revocation.exp' },
      { key: 'revocation.exp,at,_id' },
    ])
    const steps = (await db.collection('migrations').find().toArray()).map(({ _id }) => Number(_id))
    t.same(
      steps.sort((a, b) => a - b),
      steps.map((_, index) => index + 1),
      'each step once',
    )
    const { users } = await place.open()
    t.same(await users.insert(aUser()), { ok: true }, 'and one that starts later finds it done')
  })

  t.test('a replica of a newer version may have migrated further', async (t) => {
    await db.collection<{ _id: number }>('migrations').insertOne({ _id: 99 })
    await t.resolves(place.open())
  })

  t.test('a repeated entry keeps its time, and every look at the ledger beats', async (t) => {
    const { ledger } = replicas[0]!
    const revocation = { kind: 'session', sid: 'sid', sub: 'sub', exp: 4_102_444_800 } as const
    const entry = { id: 'session:sid', revocation, keepUntilMs: Date.now() + 60_000 }
    const stored = () => db.collection<Stored>('ledger').findOne({ _id: entry.id })
    await ledger.record([entry])
    const first = await stored()
    t.ok(first?.at instanceof Date && first.keepUntil instanceof Date)
    await replicas[1]!.ledger.record([{ ...entry, keepUntilMs: 0 }])
    t.same(await stored(), first)
    await ledger.markPublished([entry.id])
    const marked = await stored()
    t.ok(marked?.publishedAt instanceof Date)
    await ledger.record([entry])
    await ledger.markPublished([entry.id])
    t.same(await stored(), marked, 'marking again changes nothing')

    const beats = async () => (await db.collection<Stored>('issuers').findOne({ _id: 'instance' }))?.beats
    await ledger.unpublished('instance', 1)
    await ledger.since('instance', undefined, 0)
    for await (const batch of ledger.live('instance', 0)) t.ok(batch.length)
    t.equal(await beats(), 3)
  })

  t.test('an entry of another primary whose clock is behind is not passed over', async (t) => {
    const { ledger } = replicas[0]!
    const { cursor } = await ledger.since('instance', undefined, 0)
    const revocation = { kind: 'key', kid: 'behind', exp: 4_102_444_800 }
    const at = new Date((cursor as Date).getTime() - 10_000)
    await db
      .collection<Stored>('ledger')
      .insertOne({ _id: 'key:behind', revocation, at, keepUntil: new Date(4e12), published: false })
    const { entries } = await ledger.since('instance', cursor, 0)
    t.ok(entries.some(({ id }) => id === 'key:behind'))
  })
})
