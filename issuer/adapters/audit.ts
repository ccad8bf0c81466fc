import type { Log } from '../../shared/log.ts'
import { counter, type Metrics } from '../../shared/metrics.ts'
import type { Audit } from '../domain/ports.ts'

/**
 * Security events as lines of the log, marked `"audit": true`, so that a collector can tell them from the rest. They
 * are written whatever the log's level, unless that is `silent`.
 */
export function createAudit(log: Log, metrics: Metrics): Audit {
  const lines = log.child({ audit: true }, { level: log.level === 'silent' ? 'silent' : 'info' })
  const events = counter(metrics, 'audit_events_total', 'Security events in the audit log.', ['event'])
  return {
    record(event, facts) {
      events.inc({ event })
      lines.info({ event, ...facts }, 'audit')
    },
  }
}
