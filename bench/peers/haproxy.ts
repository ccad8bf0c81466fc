import type { SigningKeyPair } from '../../shared/jws.ts'

export interface PeerTask {
  /** Where to listen, on 127.0.0.1. */
  port: number
  /** The service: `host:port`. */
  service: string
  issuer: string
  audience: string
  key: SigningKeyPair
}

/** One variable of a claim. */
const claim = (name: string) => `var(txn.token),jwt_payload_query('$.${name}')`

/**
 * HAProxy that lets in what the sidecar would, as its documentation shows it (`http_auth_bearer`, `jwt_verify`) and with
 * the expiry, and names the user to the service. It keeps no verified tokens.
 * @param keyFile the public key in PEM
 */
export function haproxyConfiguration({ port, service, issuer, audience, key }: PeerTask, keyFile: string): string {
  return `frontend proxy
  bind 127.0.0.1:${port}
  http-request set-var(txn.token) http_auth_bearer
  http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
  http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 unless { var(txn.alg) -m str ${key.alg} }
  http-request deny deny_status 401 unless { ${claim('iss')} -m str ${issuer} }
  http-request deny deny_status 401 unless { ${claim('aud')} -m str ${audience} }
  http-request deny deny_status 401 unless { var(txn.token),jwt_verify(txn.alg,"${keyFile}") -m int 1 }
  http-request deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int le 0 }
  http-request set-header X-User-Id %[${claim('sub')}]
  default_backend service
backend service
  http-reuse always
  server service ${service}`
}
