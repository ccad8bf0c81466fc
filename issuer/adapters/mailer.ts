import { createTransport } from 'nodemailer'
import { type Lifecycle, pause, withDeadline } from '../../shared/lifecycle.ts'
import type { Log } from '../../shared/log.ts'
import { gauge, type Metrics } from '../../shared/metrics.ts'
import type { Mail, Mailer, MailKind } from '../domain/ports.ts'
import { countMails } from './mail-counts.ts'
import { mailText } from './mail-text.ts'

export interface SmtpAddress {
  /** `smtp://` or `smtps://`, with user and password if need be. */
  url: string
  from: string
  /** Whether an `smtp://` server has to offer STARTTLS. */
  startTls: boolean
  /** PEM of a certificate authority of one's own. */
  ca: string | undefined
}

export interface MailerOptions {
  smtp: SmtpAddress
  /** The front end's page that takes the tokens. */
  page: string | undefined
  /** How long the first of five attempts waits for the second: milliseconds; the next ones wait four times as long. */
  retryMs?: number
  log: Log
  metrics: Metrics
  lifecycle: Lifecycle
}

/** Mails that wait at most; beyond that they are dropped and counted: whoever misses one asks again. */
const MAX_WAITING = 1000
const CONCURRENCY = 4
const ATTEMPTS = 5
const FIRST_RETRY_MS = 1000
/** A mail leaves so much later at random, lest the next answer's delay tell that one was written: milliseconds. */
const MAX_BLUR_MS = 250
/** At the end of the process, for what is still on its way: milliseconds. */
const CLOSE_MS = 3000

interface Job {
  mail: Mail
  attempt: number
  /** How long it has to wait: milliseconds. */
  waitMs: number
}

/** Sends mail over SMTP in the background. */
export function createMailer(options: MailerOptions): Mailer {
  const { smtp, log, metrics } = options
  const outcomes = countMails(metrics)
  const deliver = createDelivery(smtp, options.page)
  const { signal } = options.lifecycle
  const retryMs = options.retryMs ?? FIRST_RETRY_MS
  const waiting: Job[] = []
  const running = new Set<Promise<void>>()
  let working = 0
  let unfinished = 0
  gauge(metrics, 'mails_waiting', 'Mails not sent yet.', () => unfinished)

  const attempt = async (job: Job) => {
    const { kind } = job.mail
    try {
      await deliver(job.mail)
      finish(kind, 'sent')
    } catch (error) {
      const { permanent, reason } = describe(error)
      const last = permanent || job.attempt === ATTEMPTS || signal.aborted
      log[last ? 'error' : 'warn'](
        { kind, attempt: job.attempt, reason },
        last ? 'a mail was not sent' : 'a mail waits',
      )
      if (last) return finish(kind, 'failed')
      const again = { ...job, attempt: job.attempt + 1, waitMs: retryMs * 4 ** (job.attempt - 1) }
      track(schedule(again))
    }
  }

  const finish = (kind: MailKind, outcome: string) => {
    unfinished--
    outcomes.inc({ kind, outcome })
  }

  /** A mail that has to wait, because a server told it to come back, keeps none of the others waiting. */
  const schedule = async (job: Job) => {
    await pause(job.waitMs, signal)
    waiting.push(job)
    if (working >= CONCURRENCY) return
    working++
    for (let next = waiting.shift(); next; next = waiting.shift()) await attempt(next)
    working--
  }

  const track = (work: Promise<void>) => {
    const tracked = work.finally(() => running.delete(tracked))
    running.add(tracked)
  }

  options.lifecycle.onClose('mailer', async () => {
    const allSent = async () => {
      while (running.size > 0) await Promise.all(running)
    }
    await withDeadline(allSent(), CLOSE_MS).catch(() =>
      log.warn({ mails: unfinished }, 'mails were not sent before the end'),
    )
  })

  return {
    send(mail) {
      if (unfinished >= MAX_WAITING) {
        log.error({ kind: mail.kind }, 'too many mails wait; one was dropped')
        return outcomes.inc({ kind: mail.kind, outcome: 'dropped' })
      }
      unfinished++
      track(schedule({ mail, attempt: 1, waitMs: Math.random() * MAX_BLUR_MS }))
    },
  }
}

function createDelivery({ url, from, startTls, ca }: SmtpAddress, page: string | undefined) {
  const { protocol, hostname, port, username, password } = new URL(url)
  const transport = createTransport({
    host: hostname.replace(/^\[|\]$/g, ''),
    ...(port !== '' && { port: Number(port) }),
    secure: protocol === 'smtps:',
    requireTLS: protocol === 'smtp:' && startTls,
    ignoreTLS: !startTls,
    ...(username !== '' && { auth: { user: decodeURIComponent(username), pass: decodeURIComponent(password) } }),
    tls: { minVersion: 'TLSv1.2', ...(ca !== undefined && { ca }) },
    connectionTimeout: 10_000,
    greetingTimeout: 10_000,
    socketTimeout: 20_000,
    dnsTimeout: 10_000,
    disableFileAccess: true,
    disableUrlAccess: true,
  })
  return async (mail: Mail): Promise<void> => {
    // As objects: an address that is parsed again could be read as several.
    const to = { name: '', address: mail.to }
    // RFC 3834: no vacation notice answers this.
    const headers = { 'auto-submitted': 'auto-generated' }
    await transport.sendMail({ from, to, headers, ...mailText(mail, page) })
  }
}

/** Never the server's words: they repeat the address. RFC 5321 section 4.2.1: 5yz is for ever, but for 503. */
function describe(error: unknown): { permanent: boolean; reason: string } {
  const { code, responseCode, command } = error as { code?: string; responseCode?: number; command?: string }
  const permanent = responseCode !== undefined && responseCode >= 500 && responseCode !== 503
  const what = typeof command === 'string' ? command.split(' ')[0] : undefined
  return { permanent, reason: [code ?? 'ERROR', responseCode, what].filter((part) => part !== undefined).join(' ') }
}
