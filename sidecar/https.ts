import type { Lifecycle } from '../shared/lifecycle.ts'
import type { Log } from '../shared/log.ts'
import type { Metrics } from '../shared/metrics.ts'
import { openTlsCertificate, type TlsCertificate } from '../shared/tls-certificate.ts'
import type { SidecarSettings } from './settings.ts'

/**
 * The proxy's certificate; `undefined` when the settings name none, and the proxy speaks plain HTTP.
 * @throws SettingsError for one that can't be used
 */
export async function openCertificate(
  { SIDECAR_TLS_CERT_FILE: certFile, SIDECAR_TLS_KEY_FILE: keyFile, SIDECAR_TLS_CLIENT_CA: clientCa }: SidecarSettings,
  parts: { log: Log; metrics: Metrics; lifecycle: Lifecycle },
): Promise<TlsCertificate | undefined> {
  const settings = 'SIDECAR_TLS_CERT_FILE, SIDECAR_TLS_KEY_FILE'
  return certFile && keyFile ? openTlsCertificate({ certFile, keyFile, settings, clientCa, ...parts }) : undefined
}
