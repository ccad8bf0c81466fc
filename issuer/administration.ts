import { randomUUID } from 'node:crypto'
import { type Clock, seconds, systemClock } from '../shared/clock.ts'
import { createLifecycle, type Lifecycle, pause } from '../shared/lifecycle.ts'
import { createLog, type Log } from '../shared/log.ts'
import { createMetrics } from '../shared/metrics.ts'
import { revocationId } from '../shared/revocation.ts'
import type { SecurityEvent } from '../shared/security-event.ts'
import { startAudit } from './audit.ts'
import { type AdministerClients, createAdministerClients } from './domain/administer-clients.ts'
import { type AdministerUsers, createAdministerUsers } from './domain/administer-users.ts'
import { type CreateUser, createCreateUser } from './domain/create-user.ts'
import { createRoleGrants } from './domain/grants.ts'
import { MAX_LIFETIME_S, mattersStill } from './domain/issuer-report.ts'
import { readEmail, readUsername } from './domain/normal-form.ts'
import type { Audit, Publisher } from './domain/ports.ts'
import { createProfile } from './domain/profile.ts'
import { createRevoke, type Revoke } from './domain/revoke.ts'
import type { User } from './domain/user.ts'
import { createWithdraw } from './domain/withdraw.ts'
import { createHasher } from './hashing.ts'
import { type IssuerSettings, readIssuerSettings } from './settings.ts'
import { openStores, type Stores } from './stores.ts'

export { OPERATOR } from './domain/administrator.ts'
export { publicClient } from './domain/client.ts'
export { PERMISSIONS } from './domain/permissions.ts'
export { publicUser, SUPERUSER_ROLE } from './domain/user.ts'
export { readUserQuery } from './domain/user-query.ts'

/** What the command line does with the stores of an issuer, whether or not one is running. */
export interface Administration {
  stores: Stores
  audit: Audit
  clock: Clock
  users: AdministerUsers
  createUser: CreateUser
  clients: AdministerClients
  /** Records that a key is revoked, and waits for an issuer to publish it. @returns whether one did */
  announceKey: Revoke['key']
  /** @param name an id, an e-mail address or a user name */
  find(name: string): Promise<User | undefined>
  close(): Promise<void>
}

/** How long a store may take to be there: milliseconds. Whoever typed the command is waiting. */
const OPEN_DEADLINE_MS = 10_000
/** How long an issuer may take to publish what was recorded here, several of its heartbeats: milliseconds. */
const PUBLISH_DEADLINE_MS = 5000
const LOOK_AGAIN_MS = 100
const MAX_UNPUBLISHED = 1000

/**
 * Opens what the settings name, as an issuer does, without serving anything.
 * @throws SettingsError for settings that are wrong; StoreUnavailable when a store can't be reached
 */
export async function openAdministration(env: NodeJS.ProcessEnv): Promise<Administration> {
  const settings = readIssuerSettings({ LOG_LEVEL: 'warn', ...env })
  // Standard output is for the answer; the audit log is of this process as well.
  const log = createLog('command', settings.LOG_LEVEL, process.stderr)
  const lifecycle = createLifecycle(log)
  const giveUp = setTimeout(() => void lifecycle.close(), OPEN_DEADLINE_MS)
  try {
    const stores = await openStores(settings, systemClock, log, lifecycle)
    return { ...(await wire(settings, stores, log, lifecycle)), stores, close: lifecycle.close }
  } catch (error) {
    await lifecycle.close()
    throw error
  } finally {
    clearTimeout(giveUp)
  }
}

type Wired = Omit<Administration, 'stores' | 'close'>

async function wire(settings: IssuerSettings, stores: Stores, log: Log, lifecycle: Lifecycle): Promise<Wired> {
  const metrics = createMetrics()
  const instance = randomUUID()
  const audit = await startAudit(settings, { instance, log, metrics, lifecycle })
  const feed = ledgerFeed(settings, stores, instance, lifecycle.signal)
  const shared = { ...stores, ...feed, audit, clock: systemClock, log, instance }

  const revoke = createRevoke(shared, {
    // What the issuers' own is they tell each other, not this process.
    lifetimeS: MAX_LIFETIME_S,
    refreshTtlMs: settings.REFRESH_TOKEN_TTL,
    publishTimeoutMs: PUBLISH_DEADLINE_MS,
  })
  const roleGrants = createRoleGrants(shared)
  const withdraw = createWithdraw({ ...shared, revoke })
  const profile = createProfile({ ...shared, withdraw })
  return {
    audit,
    clock: systemClock,
    users: createAdministerUsers({ ...shared, roleGrants, profile, withdraw, revoke }),
    clients: createAdministerClients({ ...shared, revoke }),
    announceKey: revoke.key,
    createUser: createCreateUser({ ...shared, roleGrants, hasher: await createHasher(settings, metrics) }),
    async find(name) {
      const email = readEmail(name)
      if (email) return stores.users.byEmailKey(email.key)
      const username = readUsername(name)
      return (await stores.users.byId(name)) ?? (username && stores.users.byUsernameKey(username.key))
    },
  }
}

interface Feed {
  publisher: Publisher
  sign(event: SecurityEvent): string
}

/**
 * Nothing is published from here: to sign an event takes the name, the keys and the broker of the issuers, and a wrong
 * one of them would stop every service. The issuers that run find it in the ledger. Without Kafka the ledger is what
 * their streams read; with it, one of them marks what the broker has acknowledged, and that is waited for.
 */
function ledgerFeed(
  { KAFKA_BROKERS }: IssuerSettings,
  { ledger, issuerReports }: Stores,
  instance: string,
  signal: AbortSignal,
): Feed {
  const someHaveKafka = async () => {
    const nowMs = systemClock.now()
    return (await issuerReports.all()).some((report) => report.kafka && mattersStill(report, nowMs))
  }
  const isPublished = async (ids: string[]) => {
    const waiting = await ledger.unpublished(instance, MAX_UNPUBLISHED, seconds(systemClock))
    return waiting.length < MAX_UNPUBLISHED && !waiting.some(({ id }) => ids.includes(id))
  }
  return {
    // What stands for an event is its place in the ledger.
    sign: (event) => (event.type === 'revocation' ? revocationId(event.revocation) : ''),
    publisher: {
      async publish(events) {
        if (!KAFKA_BROKERS && !(await someHaveKafka())) return
        const ids = events.map(({ token }) => token)
        while (!(await isPublished(ids))) {
          await pause(LOOK_AGAIN_MS, signal)
          if (signal.aborted) throw new Error('no issuer has published it yet')
        }
      },
      acknowledgedBy: () => 'others',
    },
  }
}
