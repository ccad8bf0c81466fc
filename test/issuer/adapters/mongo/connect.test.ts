import {
  MongoInvalidArgumentError,
  MongoNetworkError,
  MongoNotConnectedError,
  MongoServerError,
  MongoWriteConcernError,
} from 'mongodb'
import { test } from 'tap'
import { createMongoClients } from '../../../../issuer/adapters/mongo/clients.ts'
import { attempt, createMongoClient, requireReplicaSet } from '../../../../issuer/adapters/mongo/connect.ts'
import { createMongoIssuerReports } from '../../../../issuer/adapters/mongo/issuer-reports.ts'
import { createMongoLedger } from '../../../../issuer/adapters/mongo/ledger.ts'
import { createMongoOneTimeTokens } from '../../../../issuer/adapters/mongo/one-time-tokens.ts'
import { createMongoRoles } from '../../../../issuer/adapters/mongo/roles.ts'
import { createMongoSigningKeys } from '../../../../issuer/adapters/mongo/signing-keys.ts'
import { createMongoUsers } from '../../../../issuer/adapters/mongo/users.ts'
import { StoreUnavailable } from '../../../../issuer/domain/ports.ts'
import { SettingsError } from '../../../../shared/settings.ts'
import { dropDatabase } from '../../../helpers/drop-database.ts'
import { durableCalls } from '../../../helpers/stores.ts'
import { uniqueName } from '../../../helpers/unique-name.ts'
import { missingShared, sharedUrl } from '../../../servers/shared.ts'

const majority = { level: 'majority' }
// What the session has seen, its own heartbeat above all, comes first.
const majorityAfterBeat = { level: 'majority', afterClusterTime: Object }
const linearizable = { level: 'linearizable' }
const READ_CONCERNS: Record<string, unknown> = {
  'users.byId': linearizable,
  'clients.byId': linearizable,
  'ledger.isSessionRevoked': linearizable,
  'ledger.unpublished': majorityAfterBeat,
  'ledger.since': majorityAfterBeat,
  'ledger.live': majorityAfterBeat,
  'issuerReports.exchange': majorityAfterBeat,
  'issuerReports.all': majority,
  'roles.all': majority,
  'signingKeys.all': majority,
}

test('which errors of the driver mean that MongoDB is not available', async (t) => {
  const server = (code: number, message: string) => new MongoServerError({ code, message })
  const unavailable = [
    new MongoNetworkError('read ECONNRESET'),
    new MongoNotConnectedError('client must be connected'),
    Object.assign(new Error('This socket has been ended by the other party'), { code: 'EPIPE' }),
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
  const { client, db } = createMongoClient(
    'mongodb://127.0.0.1:1/?w=0&journal=false&readPreference=secondary&retryWrites=false',
  )
  t.match(db.collection('any').writeConcern, { w: 'majority', journal: true })
  t.equal(db.collection('any').readPreference?.mode, 'primary')
  t.equal(client.options.retryWrites, true)
})

test('every write asks for a majority, and each read for what it has to prove', {
  skip: await missingShared('mongo'),
}, async (t) => {
  const url = new URL(await sharedUrl('mongo'))
  url.pathname = `/${uniqueName('wire')}`
  for (const [name, value] of Object.entries({ w: '1', journal: 'false', monitorCommands: 'true' })) {
    url.searchParams.set(name, value)
  }
  const { client, db } = createMongoClient(url.href)
  t.teardown(async () => {
    await dropDatabase(db)
    await client.close()
  })
  const sent: { commandName: string; command: Record<string, unknown> }[] = []
  client.on('commandStarted', (event) => sent.push(event))
  const stores = {
    users: createMongoUsers(db),
    roles: createMongoRoles(db),
    ledger: createMongoLedger(client, db),
    issuerReports: createMongoIssuerReports(client, db),
    signingKeys: createMongoSigningKeys(client, db),
    clients: createMongoClients(db),
    oneTimeTokens: createMongoOneTimeTokens(db),
  }
  for (const [name, call] of Object.entries(durableCalls(stores))) {
    sent.length = 0
    await call()
    const commands = sent.filter(({ commandName }) => /^(insert|update|delete|find|findAndModify)$/.test(commandName))
    t.not(commands.length, 0, name)
    if (name === 'signingKeys.change') {
      // In a transaction its beginning says what is read and its end what is waited for.
      t.match(commands[0]?.command, { startTransaction: true, readConcern: { level: 'snapshot' } }, name)
      const end = sent.find(({ commandName }) => commandName === 'commitTransaction')
      t.match(end?.command.writeConcern, { w: 'majority', j: true }, name)
      continue
    }
    for (const { commandName, command } of commands) {
      if (commandName === 'find') t.match(command.readConcern, READ_CONCERNS[name], `${name}: ${commandName}`)
      else t.match(command.writeConcern, { w: 'majority', j: true }, `${name}: ${commandName}`)
    }
    if (/unpublished|since|live/.test(name)) {
      t.same(
        commands.map(({ commandName }) => commandName),
        ['update', 'find', 'find'],
        'a heartbeat first',
      )
      const sessions = commands.map(({ command }) => JSON.stringify(command.lsid))
      t.equal(new Set(sessions).size, 1, 'in one session')
    }
  }
})

test('a server outside of a replica set is refused, one that is not initiated yet is awaited', async (t) => {
  const db = (hello: object) =>
    ({ admin: () => ({ command: async () => hello }) }) as unknown as Parameters<typeof requireReplicaSet>[0]
  await t.resolves(requireReplicaSet(db({ setName: 'rs' })))
  await t.resolves(requireReplicaSet(db({ msg: 'isdbgrid' })))
  await t.rejects(requireReplicaSet(db({ isreplicaset: true })), StoreUnavailable)
  await t.rejects(requireReplicaSet(db({ isWritablePrimary: true })), SettingsError)
})
