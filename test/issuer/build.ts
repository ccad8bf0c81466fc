import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { createMemoryCounts } from '../../issuer/adapters/memory/counts.ts'
import { ensureSigningKey } from '../../issuer/domain/ensure-signing-key.ts'
import { createKeySealing } from '../../issuer/domain/key-sealing.ts'
import { createKeySet, type KeySet } from '../../issuer/domain/key-set.ts'
import type { Mail, OutgoingEvent, PasswordHasher, Publisher } from '../../issuer/domain/ports.ts'
import { refreshTokenKeys } from '../../issuer/domain/refresh-token.ts'
import { createSignEvent } from '../../issuer/domain/sign-event.ts'
import { createServer, type ServerParts, type ServerRules } from '../../issuer/server.ts'
import { openStores, type StoreSettings } from '../../issuer/stores.ts'
import { createLifecycle } from '../../shared/lifecycle.ts'
import { createLog } from '../../shared/log.ts'
import { createMetrics } from '../../shared/metrics.ts'
import { openSecurityEvent, type SecurityEvent } from '../../shared/security-event.ts'
import { checkAuditEvent } from '../helpers/audit-events.ts'

export const ISSUER = 'https://issuer.example'
export const PASSWORD = 'a long enough pass phrase'
export const MASTER_KEY = 'the master key of the tests, which is long enough'
export const ACCESS_TTL_MS = 300_000
export const DAY_MS = 86_400_000

/** A clock that stands still until it is told to go on. */
export interface ManualClock {
  now(): number
  advance(ms: number): void
}

export function manualClock(startMs = Date.parse('2026-01-02T03:04:05.678Z')): ManualClock {
  let ms = startMs
  return {
    now: () => ms,
    advance(by) {
      ms += by
    },
  }
}

/** A hasher that costs nothing and counts. */
export function countingHasher(): PasswordHasher & { calls: string[] } {
  const calls: string[] = []
  const digest = (password: string) => `fake$${createHash('sha256').update(password).digest('hex')}`
  return {
    calls,
    async hash(password) {
      calls.push('hash')
      return digest(password)
    },
    async verify(hash, password) {
      calls.push('verify')
      return hash === digest(password)
    },
    needsRehash: (hash) => !hash.startsWith('fake$'),
    enter: () => () => {},
    fullForS: () => undefined,
  }
}

export interface BuiltIssuer {
  app: FastifyInstance
  parts: ServerParts
  keySet: KeySet
  clock: ManualClock
  /** What was published and acknowledged. */
  events: SecurityEvent[]
  /** What the audit log holds. */
  audit: { event: string; facts: Record<string, unknown> }[]
  /** The names of the store calls so far, such as `sessions.rotate`. */
  calls: string[]
  /** What was mailed. */
  mails: Mail[]
  /** Where the embedded store is. */
  dataDir: string
  call(method: string, path: string, options?: CallOptions): Promise<Answer>
  register(more?: object): Promise<{ email: string; password: string; id: string }>
  /** Logs in as a native client does. */
  login(credentials: { email: string; password: string }): Promise<Tokens>
}

export interface Tokens {
  access_token: string
  refresh_token: string
}

export interface CallOptions {
  json?: unknown
  token?: string
  cookie?: string
  headers?: Record<string, string>
}

export interface Answer {
  status: number
  headers: Record<string, string | string[] | number | undefined>
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked into freely, as a client does
  body: any
}

export interface BuildOptions {
  rules?: Partial<ServerRules>
  clock?: ManualClock
  hasher?: PasswordHasher
  publisher?: Publisher
  /** Stores other than the embedded one. */
  stores?: Partial<StoreSettings>
  /** Replaces ports, to make them fail or to watch them. */
  wrap?(parts: ServerParts): Partial<ServerParts>
}

let users = 0

/** The real server over an embedded store in a folder of its own; it ends with the test. */
export async function buildIssuer(t: Test, options: BuildOptions = {}): Promise<BuiltIssuer> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-test-'))
  const log = createLog('issuer', 'silent')
  const lifecycle = createLifecycle(log)
  t.teardown(async () => {
    await lifecycle.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const clock = options.clock ?? manualClock()
  const settings = {
    MONGO_URL: undefined,
    REDIS_URL: undefined,
    REDIS_PREFIX: 'x:',
    DATA_DIR: folder,
    ...options.stores,
  }
  const stores = await openStores(settings, clock, log, lifecycle)
  const sealing = createKeySealing([MASTER_KEY])
  await ensureSigningKey({ signingKeys: stores.signingKeys, sealing, clock }, 'ES256')
  const keySet = createKeySet(
    { signingKeys: stores.signingKeys, sealing, clock },
    // Nobody reads the keys while a test moves its clock.
    { lifetimeS: ACCESS_TTL_MS / 1000, leaseMs: Number.POSITIVE_INFINITY },
  )
  await keySet.reload()

  const events: SecurityEvent[] = []
  const audit: BuiltIssuer['audit'] = []
  const calls: string[] = []
  const mails: Mail[] = []
  const publisher = options.publisher ?? {
    async publish(outgoing: OutgoingEvent[]) {
      for (const { token } of outgoing) events.push(openEvent(token, keySet))
    },
  }
  const metrics = createMetrics()
  const parts: ServerParts = {
    users: counting(stores.users, 'users', calls),
    roles: counting(stores.roles, 'roles', calls),
    clients: counting(stores.clients, 'clients', calls),
    sessions: counting(stores.sessions, 'sessions', calls),
    ledger: counting(stores.ledger, 'ledger', calls),
    publisher,
    hasher: options.hasher ?? countingHasher(),
    counts: createMemoryCounts(clock),
    oneTimeTokens: counting(stores.oneTimeTokens, 'oneTimeTokens', calls),
    mailer: { send: (mail) => void mails.push(mail) },
    audit: {
      record(event, facts) {
        checkAuditEvent(event, facts)
        audit.push({ event, facts })
      },
    },
    keySet,
    signingKeys: counting(stores.signingKeys, 'signingKeys', calls),
    sealing,
    peers: { ownLifetimeS: () => ACCESS_TTL_MS / 1000, longestLifetimeS: () => ACCESS_TTL_MS / 1000 },
    macKeys: refreshTokenKeys([MASTER_KEY]),
    sign: createSignEvent({ keySet, clock }, { issuer: ISSUER, audience: ['sallyport'] }),
    feed: {
      stream: { subscribe: (out) => void out.end(), close() {} },
      digest: () => ({ ok: false, code: 'overloaded' }),
      feedTokens: [],
    },
    ready: stores.check,
    instance: 'test',
    clock,
    log,
    metrics,
  }
  const rules: ServerRules = {
    issuer: ISSUER,
    audience: ['sallyport'],
    profileClaims: ['tier', 'email', 'email_verified'],
    refreshTtlMs: 28 * DAY_MS,
    idleMs: 14 * DAY_MS,
    sessionLimit: undefined,
    requireVerified: false,
    mailAtRegistration: false,
    publishTimeoutMs: 200,
    secureCookie: true,
    passwordGrant: true,
    corsOrigins: ['https://app.example'],
    trustedProxies: [],
    // Tests log in often, and from one address.
    rateLimits: {},
    loginThrottle: false,
    keys: { algorithm: 'ES256', lifetimeS: ACCESS_TTL_MS / 1000, jwksMaxAgeS: 300, rotationMs: undefined },
    ...options.rules,
  }
  const app = await createServer({ ...parts, ...options.wrap?.(parts) }, rules)
  lifecycle.onClose('app', () => app.close())
  await app.ready()

  const call: BuiltIssuer['call'] = async (method, path, { json, token, cookie, headers } = {}) => {
    const response = await app.inject({
      method: method as 'GET',
      url: path,
      headers: {
        ...(json !== undefined && { 'content-type': 'application/json' }),
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(cookie !== undefined && { cookie }),
        ...headers,
      },
      ...(json !== undefined && { payload: typeof json === 'string' ? json : JSON.stringify(json) }),
    })
    return { status: response.statusCode, headers: response.headers, body: parse(response.body) }
  }
  return {
    app,
    parts,
    keySet,
    clock,
    events,
    audit,
    calls,
    mails,
    dataDir: folder,
    call,
    async register(more = {}) {
      const credentials = { email: `user${++users}@example.com`, password: PASSWORD }
      const { status, body } = await call('POST', '/auth/register', { json: { ...credentials, ...more } })
      if (status !== 201) throw new Error(`register: ${status} ${JSON.stringify(body)}`)
      return { ...credentials, id: body.id }
    },
    async login({ email, password }) {
      const { status, body } = await call('POST', '/auth/login', { json: { email, password, transport: 'body' } })
      if (status !== 200) throw new Error(`login: ${status} ${JSON.stringify(body)}`)
      return body
    },
  }
}

/** Opens an event as a sidecar does. */
export function openEvent(token: string, keySet: KeySet): SecurityEvent {
  const opened = openSecurityEvent(token, keySet.keyFor, ISSUER)
  if (!opened.ok) throw new Error(opened.refusal)
  return opened.event
}

/** The claims of a JWT, unverified. */
export function claimsOf(token: string) {
  return JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as Record<string, unknown> & {
    sub: string
    sid: string
    jti: string
    iat: number
    exp: number
    epoch: number
  }
}

/** The value of the refresh cookie that an answer sets; `''` when it clears it, `undefined` when it says nothing. */
export function cookieOf({ headers }: Answer): string | undefined {
  const fields = [headers['set-cookie'] ?? []].flat().map(String)
  return fields.find((field) => field.startsWith('__Host-refresh_token='))?.split(/[=;]/)[1]
}

/** Writes down every call of a port. */
export function counting<Port extends object>(port: Port, name: string, calls: string[]): Port {
  return new Proxy(port, {
    get(target, key) {
      const member = Reflect.get(target, key)
      if (typeof member !== 'function') return member
      return (...args: unknown[]) => {
        calls.push(`${name}.${String(key)}`)
        return member.apply(target, args)
      }
    },
  })
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
