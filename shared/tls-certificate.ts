import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { SecureContextOptions, TlsOptions } from 'node:tls'
import { type Lifecycle, pause } from './lifecycle.ts'
import type { Log } from './log.ts'
import { gauge, type Metrics } from './metrics.ts'
import { SettingsError } from './settings.ts'

export interface TlsCertificateOptions {
  certFile: string
  keyFile: string
  /** The two settings that name the files. */
  settings: string
  /** Certificate authorities of which every client has to have a certificate: PEM; none: no client is asked for one. */
  clientCa?: string | undefined
  /** How often the files are looked at: milliseconds. */
  pollMs?: number
  log: Log
  metrics: Metrics
  lifecycle: Lifecycle
}

export interface TlsCertificate {
  /** For the server's start. */
  context: TlsOptions
  /** Gives the server each renewed certificate; connections that are open keep theirs. */
  keepFresh(server: { setSecureContext(options: SecureContextOptions): void }): void
}

// Certificates are renewed days before they expire. Looked at rather than watched: mounted secrets are links that move.
const POLL_MS = 10_000

/**
 * The server's certificate, read again when it is renewed. One that can't be used, or whose key is not there yet, leaves
 * the old one in force.
 * @throws SettingsError when there is none that can be used at the start
 */
export async function openTlsCertificate(options: TlsCertificateOptions): Promise<TlsCertificate> {
  const { clientCa, log, metrics, lifecycle, pollMs = POLL_MS } = options
  let current: Pair
  try {
    current = await readPair(options)
  } catch (error) {
    throw new SettingsError([`${options.settings}: ${(error as Error).message}`])
  }
  gauge(metrics, 'tls_certificate_expires_seconds', 'When the certificate expires: seconds since the Unix epoch.', () =>
    Math.floor(current.expiresMs / 1000),
  )
  return {
    context: { ...contextOf(current, clientCa), ...(clientCa !== undefined && { requestCert: true }) },
    keepFresh(server) {
      let reported = ''
      const look = async () => {
        try {
          const next = await readPair(options)
          reported = ''
          if (next.cert === current.cert && next.key === current.key) return
          server.setSecureContext(contextOf(next, clientCa))
          current = next
          log.info({ expires: new Date(next.expiresMs).toISOString() }, 'the renewed certificate is in use')
        } catch (error) {
          const { message } = error as Error
          if (message !== reported)
            log.error({ reason: message }, 'the certificate cannot be read again; the old one stays')
          reported = message
        }
      }
      const watch = async () => {
        for (;;) {
          await pause(pollMs, lifecycle.signal)
          if (lifecycle.signal.aborted) return
          await look()
        }
      }
      const watching = watch()
      lifecycle.onClose('TLS certificate', () => watching)
    },
  }
}

interface Pair {
  cert: string
  key: string
  expiresMs: number
}

async function readPair({ certFile, keyFile }: TlsCertificateOptions): Promise<Pair> {
  const [cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')])
  const leaf = parsed(certFile, () => new X509Certificate(cert))
  const privateKey = parsed(keyFile, () => createPrivateKey(key))
  if (!leaf.checkPrivateKey(privateKey)) throw new Error(`${keyFile} is not the key of ${certFile}`)
  return { cert, key, expiresMs: leaf.validToDate.getTime() }
}

/** OpenSSL's own words are no help, and could quote the key. */
function parsed<T>(file: string, parse: () => T): T {
  try {
    return parse()
  } catch {
    throw new Error(`${file} is not in PEM format`)
  }
}

function contextOf({ cert, key }: Pair, clientCa: string | undefined): SecureContextOptions {
  return { cert, key, minVersion: 'TLSv1.2', ...(clientCa !== undefined && { ca: clientCa }) }
}
