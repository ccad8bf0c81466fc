import { setImmediate } from 'node:timers/promises'
import { Agent } from 'undici'
import { type Clock, LEEWAY_S } from '../../shared/clock.ts'
import { pause } from '../../shared/lifecycle.ts'
import { expected } from '../../shared/log.ts'
import { counter, gauge, type Metrics } from '../../shared/metrics.ts'
import {
  createRevocationDigest,
  type DigestValue,
  type DigestWindow,
  isWithin,
  type LedgerDigest,
} from '../../shared/revocation-digest.ts'
import { createComparison } from '../domain/comparison.ts'
import type { Freshness } from '../domain/freshness.ts'
import type { RevocationList } from '../domain/revocation-list.ts'
import { fetchDigest } from './issuer-digest.ts'
import { createIssuerStream, type IssuerStreamOptions } from './issuer-stream.ts'

export interface ReconcileOptions extends Omit<IssuerStreamOptions, 'onProgress' | 'resume'> {
  revocations: Pick<RevocationList, 'batches'>
  freshness: Pick<Freshness, 'isFresh' | 'completeUntil'>
  /** From one comparison to the next, on average: milliseconds. */
  intervalMs: number
  clock: Clock
  metrics: Metrics
}

/** How far apart cuts lie at most, so that all who ask in one minute ask for the same one: seconds. */
const MAX_CUT_APART_S = 60
/** How far back a cut lies at least, so that it lies ahead for no issuer: seconds. */
const CUT_AGO_S = 2 * LEEWAY_S
/** How long a snapshot is tried for until the lists are compared again: milliseconds. */
const MEND_WITHIN_MS = 300_000
/** How long entries are worked on before requests get their turn: milliseconds. */
const TURN_MS = 2

/**
 * Compares the list of revocations with the ledger of the issuer now and then: a feed proves that everything before an
 * instant was sent, but not that the broker has kept it. What was lost comes with a snapshot; what only this sidecar
 * knows, it keeps.
 */
export function startReconciliation(options: ReconcileOptions): void {
  const { intervalMs, revocations, log, lifecycle } = options
  const { signal } = lifecycle
  const agent = new Agent({ connections: 1, connect: { timeout: options.idleMs, ca: options.ca } })
  const comparison = createComparison()
  const readSnapshot = createSnapshotReader(options)
  const observe = createObserver(options)
  const failures = createFailureLog(options)

  const round = async () => {
    const issuers = await askIssuer(options, agent)
    if (issuers === 'unsupported') failures.unsupported()
    if (issuers === 'unsupported' || issuers === 'not_due') return observe.compared(issuers)
    const own = await digestOf(revocations, issuers.window)
    failures.over()
    if (!isStill(issuers.window, options.clock)) return observe.compared('not_due')
    const { difference, mend } = comparison.judge(own, issuers)
    observe.compared(difference)
    if (difference !== 'equal') {
      const facts = { difference, own: own.count, issuers: issuers.count, snapshot: mend }
      log.warn(facts, 'the list of revocations is not that of the issuer')
    }
    if (mend && (await readSnapshot())) comparison.mended()
  }
  const run = async () => {
    for (;;) {
      await pause(intervalMs * (0.75 + Math.random() * 0.5), signal)
      if (signal.aborted) return
      await round().catch((err) => {
        if (signal.aborted) return
        observe.compared('failed')
        failures.failed(err)
      })
    }
  }
  const running = run()
  lifecycle.onClose('reconciliation', async () => {
    await running
    await agent.destroy()
  })
}

/** Whether neither side can have forgotten a part of the window yet, for its own clock or the issuer's. */
function isStill({ after }: DigestWindow, clock: Clock): boolean {
  return clock.now() / 1000 + LEEWAY_S < after
}

/** @returns `not_due` when this sidecar can't know yet what was recorded before the cut */
async function askIssuer(options: ReconcileOptions, agent: Agent): Promise<LedgerDigest | 'unsupported' | 'not_due'> {
  const { intervalMs, freshness, clock, lifecycle } = options
  const nowMs = clock.now()
  if (!freshness.isFresh(nowMs)) return 'not_due'
  const apartS = Math.min(Math.max(1, Math.floor(intervalMs / 1000)), MAX_CUT_APART_S)
  const cut = Math.floor((nowMs / 1000 - CUT_AGO_S) / apartS) * apartS
  const digest = await fetchDigest(options, cut, agent, lifecycle.signal)
  // The feed has brought all that was recorded before the cut, or claims to: an entry on its way is no difference.
  return freshness.completeUntil() < cut * 1000 ? 'not_due' : (digest ?? 'unsupported')
}

async function digestOf(revocations: Pick<RevocationList, 'batches'>, window: DigestWindow): Promise<DigestValue> {
  const digest = createRevocationDigest()
  let turn = performance.now()
  for (const batch of revocations.batches((kind, exp) => isWithin(window, kind, exp))) {
    for (const [id] of batch) digest.add(id)
    if (performance.now() - turn < TURN_MS) continue
    await setImmediate()
    turn = performance.now()
  }
  return digest.value()
}

/**
 * A stream of its own, which leaves those alone that keep this sidecar fresh.
 * @returns reads a whole snapshot into the list; false when there was none in time
 */
function createSnapshotReader(options: ReconcileOptions): () => Promise<boolean> {
  const { log, lifecycle } = options
  let onSnapshot = () => {}
  const stream = createIssuerStream({ ...options, resume: false, onProgress: () => onSnapshot() })
  return async () => {
    const wanted = new AbortController()
    let complete = false
    onSnapshot = () => {
      complete = true
      wanted.abort()
    }
    stream.open()
    await pause(MEND_WITHIN_MS, AbortSignal.any([wanted.signal, lifecycle.signal]))
    stream.close()
    if (complete) log.info('a snapshot of the issuer has been read into the list of revocations')
    return complete
  }
}

/** Says once when something begins, and when it is over. */
function createFailureLog({ log }: ReconcileOptions) {
  let reported: 'failed' | 'unsupported' | undefined
  return {
    failed(err: unknown) {
      if (reported !== 'failed')
        log.warn({ err: expected(err) }, 'the list of revocations cannot be compared with that of the issuer')
      reported = 'failed'
    },
    unsupported() {
      if (reported !== 'unsupported') log.info('the issuer is too old to have its list of revocations compared')
      reported = 'unsupported'
    },
    over() {
      if (reported) log.info('the list of revocations is compared with that of the issuer again')
      reported = undefined
    },
  }
}

function createObserver({ metrics }: ReconcileOptions) {
  let comparedAt = Number.NEGATIVE_INFINITY
  const comparisons = counter(
    metrics,
    'revocation_digest_comparisons_total',
    "Comparisons of the list of revocations with the issuer's, by outcome; not_due: the feed is behind.",
    ['outcome'],
  )
  const mismatches = counter(
    metrics,
    'revocation_digest_mismatches_total',
    'Comparisons in which the issuer had revocations that this sidecar did not know: the feed has lost them.',
  )
  const surplus = counter(
    metrics,
    'revocation_digest_surplus_total',
    'Comparisons in which this sidecar knew more revocations than the issuer: the ledger has lost them.',
  )
  gauge(
    metrics,
    'revocation_digest_age_seconds',
    "Time since the list of revocations was last compared with the issuer's; +Inf before the first time.",
    () => (performance.now() - comparedAt) / 1000,
  )
  return {
    compared(outcome: 'equal' | 'missing' | 'surplus' | 'not_due' | 'unsupported' | 'failed') {
      comparisons.inc({ outcome })
      if (outcome === 'missing') mismatches.inc()
      if (outcome === 'surplus') surplus.inc()
      if (outcome === 'equal' || outcome === 'missing' || outcome === 'surplus') comparedAt = performance.now()
    },
  }
}
