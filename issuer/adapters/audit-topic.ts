import type { Producer } from 'kafkajs'
import { connectKafka, type KafkaAddress } from '../../shared/kafka.ts'
import { keepOpen } from '../../shared/keep-open.ts'
import { type Lifecycle, pause, withDeadline } from '../../shared/lifecycle.ts'
import { expected, type Log } from '../../shared/log.ts'
import { counter, gauge, type Metrics } from '../../shared/metrics.ts'
import type { AuditEntry, AuditSink } from './audit.ts'

export interface AuditTopicOptions {
  address: KafkaAddress
  /** Which issuer process this is: how the broker's log names it. */
  instance: string
  log: Log
  metrics: Metrics
  lifecycle: Lifecycle
}

/** Events that wait at most: some minutes of a busy issuer. Beyond that the oldest are lost to the topic, and counted. */
const MAX_WAITING = 10_000
const MAX_BATCH = 500
/** Events are gathered for so long: milliseconds. */
const GATHER_MS = 100
const SEND_DEADLINE_MS = 6000
/** At the end of the process, for what still waits: milliseconds. */
const CLOSE_MS = 3000

/**
 * Also sends the audit log to a Kafka topic, as the same JSON objects, in the background: nothing ever waits for it. The
 * topic has to exist. What is lost here is still in the log.
 */
export function createAuditTopic({ address, instance, log, metrics, lifecycle }: AuditTopicOptions): AuditSink {
  const { topic } = address
  const lost = counter(metrics, 'audit_events_lost_total', 'Security events that did not get to the audit topic.')
  const ending = new AbortController()
  let waiting: AuditEntry[] = []
  let reported = false
  gauge(metrics, 'audit_events_waiting', 'Security events that wait for the audit topic.', () => waiting.length)

  const open = async (working: () => void) => {
    const connection = connectKafka(address, `sallyport-audit-${instance}`, log)
    const producer = connection.client.producer({ allowAutoTopicCreation: false })
    try {
      await producer.connect()
      for (;;) {
        await pause(GATHER_MS, ending.signal)
        while (waiting.length > 0) {
          await sendSome(producer)
          if (reported) log.info({ topic }, 'the audit topic can be used again')
          reported = false
          working()
        }
        if (ending.signal.aborted) return
      }
    } finally {
      await connection.end(producer)
      connection.destroy()
    }
  }

  // Taken off only when the broker has them: what a broken connection leaves behind goes out twice rather than never.
  const sendSome = async (producer: Producer) => {
    const batch = waiting.slice(0, MAX_BATCH)
    const messages = batch.map((entry) => ({ key: String(entry.sub ?? entry.event), value: JSON.stringify(entry) }))
    await withDeadline(producer.send({ topic, acks: -1, timeout: SEND_DEADLINE_MS, messages }), SEND_DEADLINE_MS)
    const sent = new Set(batch)
    waiting = waiting.filter((entry) => !sent.has(entry))
  }

  const running = keepOpen(open, ending.signal, (err) => {
    if (!reported) log.error({ err: expected(err), topic }, 'the audit topic cannot be used; trying on')
    reported = true
  })
  lifecycle.onClose('audit topic', async () => {
    ending.abort()
    await withDeadline(running, CLOSE_MS).catch(() => {})
    lost.inc(waiting.length)
  })

  return (entry) => {
    if (waiting.length >= MAX_WAITING) {
      waiting.shift()
      lost.inc()
    }
    waiting.push(entry)
  }
}
