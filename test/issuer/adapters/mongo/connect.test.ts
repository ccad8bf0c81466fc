import {
  MongoInvalidArgumentError,
  MongoNetworkError,
  MongoNotConnectedError,
  MongoServerError,
  MongoWriteConcernError,
  WaitQueueTimeoutError,
} from 'mongodb'
import { test } from 'tap'
import { attempt, createMongoClient, requireReplicaSet } from '../../../../issuer/adapters/mongo/connect.ts'
import { StoreUnavailable } from '../../../../issuer/domain/ports.ts'
import { SettingsError } from '../../../../shared/settings.ts'

test('which errors of the driver mean that MongoDB is not available', async (t) => {
  const server = (code: number, message: string) => new MongoServerError({ code, message })
  const unavailable = [
    new MongoNetworkError('read ECONNRESET'),
    new MongoNotConnectedError('client must be connected'),
    new WaitQueueTimeoutError('timed out', 'localhost:27017'),
    server(10107, 'not primary'),
    server(13435, 'not primary and secondaryOk=false'),
    server(11600, 'interrupted at shutdown'),
    server(189, 'primary stepped down'),
    server(50, 'operation exceeded time limit'),
    new MongoWriteConcernError({ ok: 1, writeConcernError: { code: 64, errmsg: 'waiting for replication timed out' } }),
  ]
  for (const error of unavailable) {
    const thrown: Error = await attempt(() => Promise.reject(error)).catch((reason) => reason)
    t.type(thrown, StoreUnavailable, error.message)
    t.equal((thrown.cause as Error).message, error.message)
  }
  for (const error of [server(11000, 'E11000'), new MongoInvalidArgumentError('wrong call'), new TypeError('a bug')]) {
    t.equal(await attempt(() => Promise.reject(error)).catch((reason) => reason), error, error.message)
  }
})

test("an error's cause carries nothing of the command", async (t) => {
  const error = Object.assign(new MongoNetworkError('lost'), { command: { passwordHash: 'secret' } })
  const thrown: Error = await attempt(() => Promise.reject(error)).catch((reason) => reason)
  t.same(Object.keys(thrown.cause as object).sort(), ['name'])
})

test('the database is the path of the URL, sallyport by default', async (t) => {
  for (const [url, name] of [
    ['mongodb://127.0.0.1:1', 'sallyport'],
    ['mongodb://127.0.0.1:1/', 'sallyport'],
    ['mongodb://127.0.0.1:1/?directConnection=true', 'sallyport'],
    ['mongodb://user:p%2Fw@a.example:1,b.example:2/my%20db?replicaSet=rs', 'my db'],
    ['mongodb://127.0.0.1:1/test', 'test'],
  ] as const) {
    t.equal(createMongoClient(url).db.databaseName, name, url)
  }
})

test('what the URL says about durability does not count', async (t) => {
  const { client } = createMongoClient(
    'mongodb://127.0.0.1:1/?w=0&journal=false&readPreference=secondary&retryWrites=false',
  )
  t.match(client.options.writeConcern, { w: 'majority', journal: true })
  t.equal(client.options.readPreference.mode, 'primary')
  t.equal(client.options.retryWrites, true)
})

test('a server outside of a replica set is refused, one that is not initiated yet is awaited', async (t) => {
  const db = (hello: object) =>
    ({ admin: () => ({ command: async () => hello }) }) as unknown as Parameters<typeof requireReplicaSet>[0]
  await t.resolves(requireReplicaSet(db({ setName: 'rs' })))
  await t.resolves(requireReplicaSet(db({ msg: 'isdbgrid' })))
  await t.rejects(requireReplicaSet(db({ isreplicaset: true })), StoreUnavailable)
  await t.rejects(requireReplicaSet(db({ isWritablePrimary: true })), SettingsError)
})
