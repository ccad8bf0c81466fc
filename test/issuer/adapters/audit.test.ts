import { test } from 'tap'
import { createAudit } from '../../../issuer/adapters/audit.ts'
import { createLog } from '../../../shared/log.ts'
import { createMetrics } from '../../../shared/metrics.ts'

test('security events are marked lines, also where the log is quiet', async (t) => {
  const lines: string[] = []
  const metrics = createMetrics()
  const audit = createAudit(createLog('issuer', 'error', { write: (line) => void lines.push(line) }), metrics)
  audit.record('login', { sub: 'u1', address: null })
  t.match(JSON.parse(lines[0]!), { audit: true, event: 'login', sub: 'u1', address: null, role: 'issuer' })
  t.match(await metrics.metrics(), /audit_events_total\{event="login"\} 1/)
})
