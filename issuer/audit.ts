import { kafkaSecurity } from '../shared/kafka-settings.ts'
import type { Lifecycle } from '../shared/lifecycle.ts'
import type { Log } from '../shared/log.ts'
import type { Metrics } from '../shared/metrics.ts'
import { createAudit } from './adapters/audit.ts'
import type { Audit } from './domain/ports.ts'
import type { IssuerSettings } from './settings.ts'

/** The audit log: lines of the log, and a Kafka topic when the settings name one. */
export async function startAudit(
  settings: IssuerSettings,
  parts: { instance: string; log: Log; metrics: Metrics; lifecycle: Lifecycle },
): Promise<Audit> {
  const { AUDIT_TOPIC: topic, KAFKA_BROKERS: brokers } = settings
  if (!topic || !brokers) return createAudit(parts.log, parts.metrics)
  const { createAuditTopic } = await import('./adapters/audit-topic.ts')
  const address = { brokers, topic, security: kafkaSecurity(settings) }
  return createAudit(parts.log, parts.metrics, createAuditTopic({ address, ...parts }))
}
