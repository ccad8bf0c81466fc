import { type Lifecycle, pause } from '../../shared/lifecycle.ts'
import { expected, type Log } from '../../shared/log.ts'
import type { Peers } from '../domain/peers.ts'

/** A third of the lease of what was read: milliseconds. */
const EXCHANGE_EVERY_MS = 10_000
/** How soon it is tried again, and noticed that the machine has slept, for no timer counts that: milliseconds. */
const LOOK_EVERY_MS = 1000

export interface PeerUpkeepParts {
  peers: Peers
  /** What this issuer is configured to: seconds, and whether it has Kafka. */
  own: { lifetimeS: number; kafka: boolean }
  log: Log
  lifecycle: Lifecycle
}

/** Exchanges reports with the other issuers now and then, and tells when their settings are not the same as here. */
export function startPeerUpkeep({ peers, own, log, lifecycle }: PeerUpkeepParts): void {
  let failing = false
  const reportDifference = createReporter(peers, own, log)

  const exchange = async () => {
    try {
      await peers.exchange()
      if (failing) log.info('the issuers of this store hear of each other again')
      failing = false
      reportDifference()
    } catch (err) {
      if (!failing)
        log.error({ err: expected(err) }, 'the reports of issuers cannot be exchanged; soon no token can be issued')
      failing = true
    }
  }
  const run = async () => {
    reportDifference()
    let dueAt = performance.now() + EXCHANGE_EVERY_MS
    while (!lifecycle.signal.aborted) {
      await pause(LOOK_EVERY_MS, lifecycle.signal)
      if (lifecycle.signal.aborted || (peers.areKnown() && performance.now() < dueAt)) continue
      dueAt = performance.now() + EXCHANGE_EVERY_MS
      await exchange()
      if (failing) dueAt = 0
    }
  }
  const running = run()
  lifecycle.onClose('peer upkeep', () => running)
}

/** Each difference is told once, and again when it is back. */
function createReporter(peers: Peers, own: PeerUpkeepParts['own'], log: Log): () => void {
  let [lacksKafka, differs] = [false, false]
  return () => {
    const lackedKafka = lacksKafka
    lacksKafka = !own.kafka && peers.someHaveKafka()
    if (lacksKafka && !lackedKafka) {
      log.error('other issuers of this store have KAFKA_BROKERS and this one has not: its logouts wait for one of them')
    }
    const differed = differs
    const others = peers.lifetimesAtWork().filter((lifetimeS) => lifetimeS !== own.lifetimeS)
    differs = others.length > 0
    if (differs && !differed) {
      log.warn(
        { own: own.lifetimeS, others: [...new Set(others)] },
        'issuers of this store have different ACCESS_TOKEN_TTL; revocations are kept for the longest: seconds',
      )
    }
  }
}
