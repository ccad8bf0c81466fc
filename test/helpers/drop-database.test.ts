import { MongoClient } from 'mongodb'
import { test } from 'tap'
import { startMongo } from '../servers/mongo.ts'
import { missing } from '../servers/shared.ts'
import { dropDatabase } from './drop-database.ts'

test('a database is dropped though somebody has left a transaction open in it', {
  skip: await missing('mongo'),
}, async (t) => {
  const server = await startMongo({ survivesKill: false })
  t.teardown(() => server.stop())
  const client = new MongoClient(server.url)
  t.teardown(() => client.close())
  const db = client.db('left')
  const locks = db.collection<{ _id: string; changes: number }>('locks')
  await locks.insertOne({ _id: 'keys', changes: 0 })
  const left = client.startSession()
  left.startTransaction()
  await locks.updateOne({ _id: 'keys' }, { $inc: { changes: 1 } }, { session: left })
  await dropDatabase(db)
  t.equal(await locks.countDocuments(), 0)
  await t.rejects(left.commitTransaction(), 'and that transaction comes to nothing')
  await left.endSession()
})
