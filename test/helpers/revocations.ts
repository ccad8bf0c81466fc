import { generateKeyPairSync, randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import type { Ledger, LedgerEntry } from '../../issuer/domain/ports.ts'
import type { Clock } from '../../shared/clock.ts'
import type { Algorithm, SigningKeyPair } from '../../shared/jws.ts'
import { createLifecycle, type Lifecycle } from '../../shared/lifecycle.ts'
import { createLog, type Log } from '../../shared/log.ts'
import { createMetrics, type Metrics } from '../../shared/metrics.ts'
import { type Revocation, revocationId } from '../../shared/revocation.ts'
import { type SecurityEvent, signSecurityEvent } from '../../shared/security-event.ts'
import { createFreshness } from '../../sidecar/domain/freshness.ts'
import { createKeyRing } from '../../sidecar/domain/key-ring.ts'
import { createRevocationList, type RevocationList } from '../../sidecar/domain/revocation-list.ts'
import { createIntake, type Intake } from '../../sidecar/feeds/intake.ts'
import type { KeyFetcher } from '../../sidecar/feeds/jwks.ts'

export const ISSUER = 'https://issuer.example'
export const MAX_STALENESS_MS = 60_000

const GENERATE: Record<Algorithm, () => { publicKey: SigningKeyPair['key']; privateKey: SigningKeyPair['key'] }> = {
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  EdDSA: () => generateKeyPairSync('ed25519'),
}

export function signingKey(alg: Algorithm = 'ES256', kid: string = randomUUID()): SigningKeyPair {
  const { publicKey: key, privateKey } = GENERATE[alg]()
  return { kid, alg, key, privateKey }
}

/** The revocation of one session, good for ten minutes. */
export function session(sid: string = randomUUID(), sub: string = randomUUID()): Revocation {
  return { kind: 'session', sid, sub, exp: Math.floor(Date.now() / 1000) + 600 }
}

export function entry(revocation: Revocation): LedgerEntry {
  return { id: revocationId(revocation), revocation, keepUntilMs: revocation.exp * 1000 }
}

export function signer(key: SigningKeyPair, issuer = ISSUER, clock: Clock = { now: () => Date.now() }) {
  return (event: SecurityEvent) => signSecurityEvent(key, event, { issuer, audience: ['test'], nowMs: clock.now() })
}

/** A clock that stands still until it is set. */
export function manualClock(startMs = Date.now()): Clock & { set(ms: number): void; advance(ms: number): void } {
  let now = startMs
  return {
    now: () => now,
    set(ms) {
      now = ms
    },
    advance(ms) {
      now += ms
    },
  }
}

export interface Base {
  log: Log
  /** What was logged so far, a JSON line each. */
  lines: string[]
  metrics: Metrics
  lifecycle: Lifecycle
}

/** What every part is given; it all ends with the test. */
export function base(t: Test): Base {
  const lines: string[] = []
  const log = createLog('test', 'debug', { write: (line: string) => void lines.push(line) })
  const lifecycle = createLifecycle(log, 10_000)
  t.teardown(() => lifecycle.close())
  return { log, lines, metrics: createMetrics(), lifecycle }
}

/** The value of a metric with these labels; 0 when it was never touched. */
export async function metric(metrics: Metrics, name: string, labels: Record<string, string> = {}): Promise<number> {
  const values = (await metrics.getSingleMetric(name)?.get())?.values ?? []
  const found = values.filter((value) =>
    Object.entries(labels).every(([label, wanted]) => String(value.labels[label as never]) === wanted),
  )
  return found.reduce((sum, { value }) => sum + value, 0)
}

/** A ledger in memory that does as the port says, with its entries in sight. */
export function memoryLedger(): Ledger & { entries: { entry: LedgerEntry; published: boolean }[] } {
  const entries: { entry: LedgerEntry; published: boolean }[] = []
  return {
    entries,
    async record(added) {
      for (const one of added) {
        if (!entries.some(({ entry }) => entry.id === one.id)) entries.push({ entry: one, published: false })
      }
      return added.map(({ id }) => entries.find(({ entry }) => entry.id === id)!.entry.revocation)
    },
    isSessionRevoked: async (sid) => entries.some(({ entry }) => entry.id === `session:${sid}`),
    unpublished: async (_instance, limit, nowS = 0) =>
      entries
        .filter(({ published, entry }) => !published && entry.revocation.exp > nowS)
        .slice(0, limit)
        .map(({ entry }) => entry),
    async markPublished(ids) {
      for (const known of entries) known.published ||= ids.includes(known.entry.id)
    },
    async since(_instance, cursor, nowS) {
      const from = (cursor as number | undefined) ?? 0
      // One again, as the port allows.
      const found = entries.slice(Math.max(0, from - 1)).map(({ entry }) => entry)
      return { entries: found.filter(({ revocation }) => revocation.exp > nowS), cursor: entries.length }
    },
    async *live(_instance, nowS) {
      const found = entries.map(({ entry }) => entry.revocation).filter(({ exp }) => exp > nowS)
      for (let start = 0; start < found.length; start += 700) yield found.slice(start, start + 700)
    },
  }
}

/** The part of a sidecar that a feed fills. */
export interface Receiver {
  ring: ReturnType<typeof createKeyRing>
  freshness: ReturnType<typeof createFreshness>
  revocations: Pick<RevocationList, 'add' | 'has' | 'batches'>
  /** Names of all revocations, in the order in which they were added. */
  added: string[]
  intake: Intake
}

export function receiver(
  { log, metrics }: Base,
  keys: SigningKeyPair[],
  clock: Clock = { now: () => Date.now() },
): Receiver {
  const ring = createKeyRing({ maxStaleMs: 60_000 })
  ring.replace(keys, clock.now())
  const freshness = createFreshness({ maxStalenessMs: MAX_STALENESS_MS, clock })
  const added: string[] = []
  const list = createRevocationList()
  const revocations = {
    batches: list.batches,
    has: list.has,
    add(revocation: Revocation) {
      const id = revocationId(revocation)
      list.add(revocation)
      if (added.includes(id)) return false
      added.push(id)
      return true
    },
  }
  const intake = createIntake({
    ring,
    revocations,
    onRevocation: () => {},
    issuer: ISSUER,
    maxStalenessMs: MAX_STALENESS_MS,
    clock,
    log,
    metrics,
  })
  return { ring, freshness, revocations, added, intake }
}

/** Every key that the ring does not have is one the issuer does not have. */
export const noMoreKeys: Pick<KeyFetcher, 'settle'> = { settle: async () => 'absent' }
