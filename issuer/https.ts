import type { Lifecycle } from '../shared/lifecycle.ts'
import type { Log } from '../shared/log.ts'
import type { Metrics } from '../shared/metrics.ts'
import { openTlsCertificate, type TlsCertificate } from '../shared/tls-certificate.ts'
import type { IssuerSettings } from './settings.ts'

/**
 * The server's certificate; `undefined` when the settings name none, and the issuer speaks plain HTTP.
 * @throws SettingsError for one that can't be used
 */
export async function openCertificate(
  { ISSUER_TLS_CERT_FILE: certFile, ISSUER_TLS_KEY_FILE: keyFile }: IssuerSettings,
  parts: { log: Log; metrics: Metrics; lifecycle: Lifecycle },
): Promise<TlsCertificate | undefined> {
  const settings = 'ISSUER_TLS_CERT_FILE, ISSUER_TLS_KEY_FILE'
  return certFile && keyFile ? openTlsCertificate({ certFile, keyFile, settings, ...parts }) : undefined
}
