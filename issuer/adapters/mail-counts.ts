import { counter, type Metrics } from '../../shared/metrics.ts'

/** What both mailers count. */
export function countMails(metrics: Metrics) {
  return counter(metrics, 'mails_total', 'Mails by kind and what became of them.', ['kind', 'outcome'])
}
