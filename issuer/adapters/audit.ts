import type { Log } from '../../shared/log.ts'
import { counter, type Metrics } from '../../shared/metrics.ts'
import type { Audit } from '../domain/ports.ts'

/** One security event as it leaves the process. */
export interface AuditEntry {
  /** ISO 8601. */
  time: string
  event: string
  [fact: string]: string | number | boolean | null
}

/** Takes an event further; returns at once and never throws. */
export type AuditSink = (entry: AuditEntry) => void

/**
 * Security events as lines of the log, marked `"audit": true`, so that a collector can tell them from the rest. They
 * are written whatever the log's level, unless that is `silent`. What they are is documented in docs/audit-log.md.
 * @param sink gets them as well
 */
export function createAudit(log: Log, metrics: Metrics, sink?: AuditSink): Audit {
  // Every event's fields are flat and chosen where it is recorded; looking for secrets in them costs more than the line.
  const lines = log.child({ audit: true }, { level: log.level === 'silent' ? 'silent' : 'info', redact: [] })
  const events = counter(metrics, 'audit_events_total', 'Security events in the audit log.', ['event'])
  return {
    record(event, facts) {
      events.inc({ event })
      lines.info({ event, ...facts }, 'audit')
      sink?.({ time: new Date().toISOString(), event, ...facts })
    },
  }
}
