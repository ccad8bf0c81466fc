import { randomBytes, randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { MongoClient } from 'mongodb'
import type { Test } from 'tap'
import type { DurablePorts } from '../../issuer/adapters/store.ts'
import type { Client } from '../../issuer/domain/client.ts'
import type { OneTimeToken } from '../../issuer/domain/one-time-token.ts'
import { StoreUnavailable } from '../../issuer/domain/ports.ts'
import type { Role } from '../../issuer/domain/role.ts'
import type { Session } from '../../issuer/domain/session.ts'
import type { User } from '../../issuer/domain/user.ts'
import { openStores, type StoreSettings, type Stores } from '../../issuer/stores.ts'
import { type Clock, systemClock } from '../../shared/clock.ts'
import { createLifecycle, type Lifecycle } from '../../shared/lifecycle.ts'
import { createLog } from '../../shared/log.ts'
import { missingShared, sharedUrl } from '../servers/shared.ts'
import { dropDatabase } from './drop-database.ts'
import { eventually } from './eventually.ts'
import { temporaryFolder } from './temporary-folder.ts'
import { uniqueName } from './unique-name.ts'

const silent = createLog('test', 'silent')

/** Settings of stores that nobody else uses, and what opens them, as often as it is called: each is one replica. */
export interface Place {
  settings: StoreSettings
  open(): Promise<Stores & { lifecycle: Lifecycle }>
}

/** Every replica opened there is closed with the test. */
export function placeOf(t: Test, settings: StoreSettings, clock: Clock = systemClock): Place {
  return {
    settings,
    async open() {
      const lifecycle = createLifecycle(silent)
      t.teardown(() => lifecycle.close())
      return { ...(await openStores(settings, clock, silent, lifecycle)), lifecycle }
    },
  }
}

/** SQLite in a folder of the test's own. */
export function embeddedPlace(t: Test): Place {
  const folder = temporaryFolder(t)
  return placeOf(t, { MONGO_URL: undefined, REDIS_URL: undefined, REDIS_PREFIX: '', DATA_DIR: folder })
}

/** A database and a key prefix of the test's own on the shared servers; deleted with the test. */
export async function serversPlace(t: Test): Promise<Place> {
  const name = uniqueName('stores')
  const [mongoUrl, redisUrl] = await Promise.all([sharedUrl('mongo'), sharedUrl('redis')])
  const database = new URL(mongoUrl)
  database.pathname = `/${name}`
  t.teardown(async () => {
    const client = new MongoClient(database.href)
    await dropDatabase(client.db())
    await client.close()
    const redis = new Redis(redisUrl)
    for await (const keys of redis.scanStream({ match: `${name}:*`, count: 1000 })) {
      if (keys.length > 0) await redis.del(...keys)
    }
    redis.disconnect()
  })
  return placeOf(t, {
    MONGO_URL: database.href,
    REDIS_URL: redisUrl,
    REDIS_PREFIX: `${name}:`,
    DATA_DIR: '/nonexistent',
  })
}

/** The adapters that every contract suite is run against. */
export const ADAPTERS: { name: string; skip: string | false; place(t: Test): Place | Promise<Place> }[] = [
  { name: 'SQLite', skip: false, place: embeddedPlace },
  { name: 'MongoDB and Redis', skip: await missingShared('mongo', 'redis'), place: serversPlace },
]

export function aUser(given: Partial<User> = {}): User {
  const id = given.id ?? randomUUID()
  return {
    id,
    email: `Sally.${id}@Example.com`,
    emailKey: `sally.${id}@example.com`,
    username: null,
    usernameKey: null,
    passwordHash: '$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA',
    epoch: 0,
    roles: ['user'],
    tier: 'free',
    isActive: true,
    isVerified: false,
    createdAt: 1_700_000_000_123,
    updatedAt: 1_700_000_000_456,
    lastLogin: null,
    ...given,
  }
}

export function aOneTimeToken(given: Partial<OneTimeToken> = {}): OneTimeToken {
  return {
    hash: randomBytes(32).toString('base64url'),
    sub: randomUUID(),
    purpose: 'verify_email',
    state: 'n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg',
    expiresAt: Date.now() + 3_600_000,
    ...given,
  }
}

export function aRole(given: Partial<Role> = {}): Role {
  return {
    name: uniqueName('role'),
    description: 'reads and writes orders',
    permissions: ['orders:read', 'orders:write'],
    createdAt: 1_700_000_000_123,
    updatedAt: 1_700_000_000_456,
    ...given,
  }
}

export function aClient(given: Partial<Client> = {}): Client {
  return {
    id: randomUUID(),
    name: 'reports',
    permissions: ['orders:read', 'orders:write'],
    isActive: true,
    epoch: 0,
    secretHash: 'n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg',
    previousSecretHash: null,
    previousSecretUntil: null,
    createdAt: 1_700_000_000_123,
    updatedAt: 1_700_000_000_456,
    ...given,
  }
}

/** A session that began now and lives for an hour unused, a day at most. */
export function aSession(given: Partial<Session> = {}): Session {
  const now = Date.now()
  return {
    sid: randomUUID(),
    sub: randomUUID(),
    epoch: 0,
    generation: 0,
    nonceHash: 'n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg',
    createdAt: now,
    rotatedAt: now,
    expiresAt: now + 86_400_000,
    idleExpiresAt: now + 3_600_000,
    userAgent: 'curl/8.5.0',
    address: '192.0.2.1',
    scope: null,
    ...given,
  }
}

type Calls = Record<string, () => Promise<unknown>>

/** One call of every operation of the durable ports. */
export function durableCalls(ports: DurablePorts): Calls {
  const { users, roles, ledger, issuerReports, signingKeys, clients, oneTimeTokens } = ports
  const revocation = { kind: 'session', sid: 'sid', sub: 'sub', exp: 4_102_444_800 } as const
  return {
    'users.insert': () => users.insert(aUser()),
    'users.insertMany': () => users.insertMany([aUser()]),
    'users.byId': () => users.byId('id'),
    'users.byEmailKey': () => users.byEmailKey('key'),
    'users.byUsernameKey': () => users.byUsernameKey('key'),
    'users.update': () => users.update('id', { tier: 'pro' }),
    'users.raiseEpoch': () => users.raiseEpoch('id'),
    'users.page': () => users.page({ order: 'created', limit: 1 }),
    'users.delete': () => users.delete('id'),
    'users.takeRole': () => users.takeRole('no such role', 1),
    'roles.all': () => roles.all(),
    'roles.insert': () => roles.insert(aRole()),
    'roles.update': () => roles.update('no such role', { description: '' }),
    'roles.delete': () => roles.delete('no such role'),
    'ledger.record': () => ledger.record([{ id: 'session:sid', revocation, keepUntilMs: 4_102_444_800_000 }]),
    'ledger.isSessionRevoked': () => ledger.isSessionRevoked('sid'),
    'ledger.unpublished': () => ledger.unpublished('instance', 10),
    'ledger.markPublished': () => ledger.markPublished(['session:sid']),
    'ledger.since': () => ledger.since('instance', undefined, 0),
    'ledger.live': async () => {
      for await (const batch of ledger.live('instance', 0)) if (batch.length === 0) break
    },
    'issuerReports.exchange': () =>
      issuerReports.exchange({ instance: 'instance', lifetimeS: 300, kafka: false, settledAt: 0 }),
    'issuerReports.all': () => issuerReports.all(),
    'clients.insert': () => clients.insert(aClient()),
    'clients.byId': () => clients.byId('id'),
    'clients.list': () => clients.list(undefined, 10),
    'clients.update': () => clients.update('id', { name: 'new' }, true),
    'clients.rotateSecret': () =>
      clients.rotateSecret('id', { secretHash: 'hash', previousUntil: null, nowMs: Date.now() }, false),
    'clients.delete': () => clients.delete('id'),
    'oneTimeTokens.insert': () => oneTimeTokens.insert(aOneTimeToken()),
    'oneTimeTokens.find': () => oneTimeTokens.find('hash'),
    'oneTimeTokens.take': () => oneTimeTokens.take('hash'),
    'signingKeys.all': () => signingKeys.all(),
    'signingKeys.change': () =>
      signingKeys.change((keys) => [
        ...keys,
        {
          kid: randomUUID(),
          alg: 'ES256',
          state: 'next',
          sealedPrivateKey: 'sealed',
          createdAt: 0,
          signsFrom: null,
          retiredAt: null,
          revokedAt: null,
        },
      ]),
  }
}

/** One call of every operation on sessions. */
export function sessionCalls({ sessions }: Stores): Calls {
  const { sid, generation, nonceHash, sub } = aSession()
  return {
    'sessions.create': () => sessions.create(aSession()),
    'sessions.rotate': () => sessions.rotate({ sid, generation, nonceHash, nowMs: Date.now(), idleMs: 1000 }),
    'sessions.byId': () => sessions.byId(sid),
    'sessions.list': () => sessions.list(sub, Date.now()),
    'sessions.carryOver': () => sessions.carryOver(sid, 1),
    'sessions.end': () => sessions.end(sid),
    'sessions.endAll': () => sessions.endAll(sub, 1, Date.now()),
  }
}

/**
 * Makes all calls at once and checks that each is refused as it has to be while its store is away.
 * @param withinMs how long the slowest may take, in the best of three attempts: the machine may stand still in one
 */
export async function allUnavailable(t: Test, calls: Calls, withinMs: number, what: string): Promise<void> {
  let took = Number.POSITIVE_INFINITY
  for (let attempt = 0; attempt < 3 && took >= withinMs; attempt++) {
    const begin = performance.now()
    await Promise.all(
      Object.entries(calls).map(async ([name, call]) => {
        const error = await call().then(
          () => undefined,
          (reason: unknown) => reason,
        )
        t.type(error, StoreUnavailable, `${what}: ${name} is refused as unavailable, not as ${error}`)
      }),
    )
    took = performance.now() - begin
  }
  t.ok(took < withinMs, `${what}: the slowest took ${Math.round(took)} ms, less than ${withinMs}`)
}

/** Waits until every call works again. */
export async function allAvailable(calls: Calls, within = 40_000): Promise<void> {
  await eventually(async () => (await Promise.all(Object.values(calls).map((call) => call()))) && true, {
    within,
    every: 100,
    message: 'the store is back',
  })
}
