import type { Lifecycle } from '../shared/lifecycle.ts'
import type { Log } from '../shared/log.ts'
import type { Metrics } from '../shared/metrics.ts'
import { createLogMailer } from './adapters/log-mailer.ts'
import type { Mailer } from './domain/ports.ts'
import { type IssuerSettings, isDevelopersMachine } from './settings.ts'

/** Mail over SMTP when the settings name a server, else lines of the log. */
export async function startMailer(
  settings: IssuerSettings,
  parts: { log: Log; metrics: Metrics; lifecycle: Lifecycle },
): Promise<Mailer> {
  const { SMTP_URL, MAIL_FROM, MAIL_LINK_URL: page } = settings
  if (!SMTP_URL) return createLogMailer({ page, showLinks: isDevelopersMachine(settings), ...parts })
  const smtp = { url: SMTP_URL, from: MAIL_FROM!, startTls: settings.SMTP_STARTTLS, ca: settings.SMTP_CA }
  // Loaded only where there is mail to be sent.
  const { createMailer } = await import('./adapters/mailer.ts')
  return createMailer({ smtp, page, ...parts })
}
