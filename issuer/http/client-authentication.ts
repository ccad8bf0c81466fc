import type { FastifyRequest } from 'fastify'
import type { AuthenticateClient, AuthenticatedClient } from '../domain/client-credentials.ts'
import { FIRST_PARTY_CLIENT_ID } from '../domain/issue-tokens.ts'
import { clientAddress } from './client-address.ts'
import { decodeFormText } from './form-body.ts'
import type { OAuthError } from './oauth-errors.ts'

/** The parameters by which a client names or proves itself in the body (RFC 6749 section 2.3.1). */
export interface ClientParameters {
  client_id?: string
  client_secret?: string
}

/** `client` is absent for the issuer's own clients, which have no secret to prove: browsers, apps, scripts. */
export type ClientOfRequest =
  | { ok: true; client: AuthenticatedClient | undefined }
  | { ok: false; error: OAuthError; description?: string }

/**
 * Who calls an OAuth route: a service that proves itself with its secret, by HTTP Basic or in the body and never both,
 * or a first-party client. A client that names itself and proves nothing is refused, unless its name is the issuer's.
 */
export async function authenticateClientOf(
  request: FastifyRequest,
  parameters: ClientParameters,
  authenticateClient: AuthenticateClient,
): Promise<ClientOfRequest> {
  const presented = readClient(request, parameters)
  if (!presented.ok) return presented
  const { id, secret } = presented
  if (id === undefined || (id === FIRST_PARTY_CLIENT_ID && secret === undefined)) return { ok: true, client: undefined }
  // Without a secret it does the same work as with a wrong one.
  const client = await authenticateClient(id, secret ?? '', clientAddress(request))
  return client ? { ok: true, client } : { ok: false, error: 'invalid_client' }
}

type Presented =
  | { ok: true; id: string | undefined; secret: string | undefined }
  | { ok: false; error: OAuthError; description: string }

function readClient(request: FastifyRequest, { client_id: id, client_secret: secret }: ClientParameters): Presented {
  const invalid = (description: string): Presented => ({ ok: false, error: 'invalid_request', description })
  const fields = request.raw.rawHeaders.filter(
    (name, index) => index % 2 === 0 && name.toLowerCase() === 'authorization',
  )
  if (fields.length > 1) return invalid('several Authorization fields')
  const { authorization } = request.headers
  if (authorization === undefined) {
    return secret !== undefined && id === undefined
      ? invalid('client_secret without client_id')
      : { ok: true, id, secret }
  }
  const basic = readBasic(authorization)
  if (!basic) {
    return { ok: false, error: 'invalid_client', description: 'the Authorization field is not valid HTTP Basic' }
  }
  if (secret !== undefined) return invalid('more than one method of client authentication')
  if (id !== undefined && id !== basic.id) return invalid('two clients')
  return { ok: true, ...basic }
}

const BASIC = /^Basic +([A-Za-z0-9+/]{1,1024}={0,2})$/i
const utf8 = new TextDecoder('utf-8', { fatal: true })

/** RFC 7617, with id and secret form-encoded within (RFC 6749 section 2.3.1). An empty secret is none. */
function readBasic(authorization: string): { id: string; secret: string | undefined } | undefined {
  const [, encoded] = BASIC.exec(authorization) ?? []
  if (encoded === undefined) return undefined
  try {
    const text = utf8.decode(Buffer.from(encoded, 'base64'))
    const colon = text.indexOf(':')
    const id = decodeFormText(text.slice(0, Math.max(colon, 0)))
    return id === '' ? undefined : { id, secret: decodeFormText(text.slice(colon + 1)) || undefined }
  } catch {
    return undefined
  }
}
