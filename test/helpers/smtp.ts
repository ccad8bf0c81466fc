import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import type { Test } from 'tap'

/** One mail as the server got it. */
export interface ReceivedMail {
  from: string
  to: string[]
  /** Whether it came over TLS. */
  secure: boolean
  /** Who had logged in, if anyone. */
  user: string | undefined
  /** Header and body, as sent. */
  source: string
  /** The body as text. */
  text: string
}

export interface SmtpServer {
  port: number
  mails: ReceivedMail[]
  close(): Promise<void>
}

/** A real SMTP server in this process; it ends with the test. */
export async function startSmtp(t: Test, options: SMTPServerOptions = {}, port = 0): Promise<SmtpServer> {
  const mails: ReceivedMail[] = []
  const server = new SMTPServer({
    authOptional: true,
    // Without a certificate of ours it would offer one of its own, for which nobody vouches.
    ...(options.cert === undefined && { disabledCommands: ['STARTTLS'] }),
    allowInsecureAuth: true,
    onAuth: ({ username }, _session, done) => done(null, { user: username }),
    onData(stream, { envelope, secure, user }, done) {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        const source = Buffer.concat(chunks).toString()
        const { mailFrom, rcptTo } = envelope
        mails.push({
          from: mailFrom ? mailFrom.address : '',
          to: rcptTo.map(({ address }) => address),
          secure,
          user: user as string | undefined,
          source,
          text: bodyOf(source),
        })
        done()
      })
    },
    ...options,
  })
  // A client that does not trust the certificate ends the connection; that is the client's to report.
  server.on('error', () => {})
  server.listen(port, '127.0.0.1')
  await once(server.server, 'listening')
  const close = () => new Promise<void>((resolve) => server.close(resolve))
  t.teardown(close)
  return { port: (server.server.address() as AddressInfo).port, mails, close }
}

/** Undoes quoted-printable (RFC 2045 section 6.7). */
function bodyOf(source: string): string {
  const [head = '', ...parts] = source.split('\r\n\r\n')
  const body = parts.join('\r\n\r\n')
  if (!/content-transfer-encoding: quoted-printable/i.test(head)) return body
  const bytes = body
    .replace(/=\r\n/g, '')
    .replace(/=([\dA-F]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Buffer.from(bytes, 'latin1').toString()
}
