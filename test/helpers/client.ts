import { type Agent, request } from 'undici'
import { uniqueName } from './unique-name.ts'

export interface Answer<T = Record<string, unknown>> {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: T
}

/** One HTTP call; the answer's JSON, or `{ text }` when it is none. */
export async function call<T = Record<string, unknown>>(
  url: string,
  options: { method?: string; json?: unknown; token?: string; headers?: Record<string, string>; agent?: Agent } = {},
): Promise<Answer<T>> {
  const { method = options.json === undefined ? 'GET' : 'POST', json, token, headers, agent } = options
  const response = await request(url, {
    method: method as 'GET',
    headers: {
      ...(json !== undefined && { 'content-type': 'application/json' }),
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(json !== undefined && { body: JSON.stringify(json) }),
    ...(agent && { dispatcher: agent }),
  })
  const text = await response.body.text()
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    body = { text }
  }
  return { status: response.statusCode, headers: response.headers, body: body as T }
}

export interface Login {
  access_token: string
  refresh_token: string
}

export interface Credentials {
  email: string
  password: string
}

export const PASSWORD = 'a long enough pass phrase'

/** Registers a user nobody else has. */
export async function register(issuerUrl: string): Promise<Credentials> {
  const credentials = { email: `${uniqueName('user')}@example.com`, password: PASSWORD }
  const answer = await call(`${issuerUrl}/auth/register`, { json: credentials })
  if (answer.status !== 201) throw new Error(`register answered ${answer.status}: ${JSON.stringify(answer.body)}`)
  return credentials
}

/** Logs in as a native client does: both tokens in the body. */
export async function login(issuerUrl: string, credentials: Credentials): Promise<Login> {
  const answer = await call<Login>(`${issuerUrl}/auth/login`, { json: { ...credentials, transport: 'body' } })
  if (answer.status !== 200) throw new Error(`login answered ${answer.status}: ${JSON.stringify(answer.body)}`)
  return answer.body
}

export function refresh(issuerUrl: string, refreshToken: string): Promise<Answer<Login & { code?: string }>> {
  return call(`${issuerUrl}/auth/refresh`, { json: { refresh_token: refreshToken, transport: 'body' } })
}

export interface Logout {
  invalidated_tokens: number
  propagated: boolean
}

export function logout(issuerUrl: string, token: string, json: object = {}): Promise<Answer<Logout>> {
  return call(`${issuerUrl}/auth/logout`, { json, token })
}

/** The claims of a JWT, unverified. */
export function claimsOf(
  token: string,
): Record<string, unknown> & { sub: string; sid: string; exp: number; iat: number } {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
}

/** Calls the service behind a sidecar. @returns the status */
export async function statusThrough(sidecarUrl: string, token: string, path = '/'): Promise<number> {
  return (await call(`${sidecarUrl}${path}`, { token })).status
}
