import type { Log } from '../../shared/log.ts'
import type { Metrics } from '../../shared/metrics.ts'
import type { Mailer } from '../domain/ports.ts'
import { countMails } from './mail-counts.ts'
import { linkOf } from './mail-text.ts'

export interface LogMailerOptions {
  /** The front end's page that takes the tokens. */
  page: string | undefined
  /**
   * Whether the log shows the links, and so the tokens: for a developer's own machine. Anywhere else a log is read by
   * too many, and what is in it would open other people's accounts.
   */
  showLinks: boolean
  log: Log
  metrics: Metrics
}

/** Without an SMTP server: the log says that a mail would have been sent. */
export function createLogMailer({ page, showLinks, log, metrics }: LogMailerOptions): Mailer {
  const outcomes = countMails(metrics)
  return {
    send({ kind, token }) {
      const link = token !== undefined && showLinks ? { link: linkOf(kind, token, page) ?? token } : {}
      log.warn({ kind, ...link }, 'a mail would be sent if there were an SMTP_URL')
      outcomes.inc({ kind, outcome: 'not_sent' })
    },
  }
}
