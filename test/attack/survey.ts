import type { Answer } from '../helpers/answers.ts'
import type { Deployment, Session } from './deployment.ts'
import { sendOrdinary } from './exchange.ts'
import type { Endpoint } from './wire.ts'

export interface SurveyOptions {
  /** The deployment's address; a path in it is that which is asked for. */
  url: string
  /** PEM of an authority beside the usual ones. */
  ca?: string
  token?: string
  issuer?: string
  credentials?: { email: string; password: string }
  websocketPath?: string
  patienceMs: number
  slowMs: number
  revocationMs: number
}

/** The deployment can't be attacked as it was asked for; the message says why. */
export class CannotAttack extends Error {}

/** A token is renewed when it lives no longer than this: milliseconds. */
const RENEW_MS = 60_000

/**
 * Looks at a deployment with a few ordinary requests: is the path guarded, is the token good there, does the service
 * answer with what it received?
 * @returns what gives the deployment with a token that still lives (with credentials it is renewed), and ends its session
 * @throws {CannotAttack} when nobody answers, or the token is refused
 */
export async function survey(
  options: SurveyOptions,
): Promise<{ current(): Promise<Deployment>; end(): Promise<void> }> {
  const url = new URL(options.url)
  const { issuer, credentials } = options
  const login = issuer && credentials ? () => logIn(issuer, credentials) : undefined
  let session = options.token === undefined ? await login?.() : undefined
  const token = options.token ?? session?.token
  const base = {
    endpoint: endpointOf(url, options.ca),
    host: url.host,
    path: url.pathname,
    patienceMs: options.patienceMs,
    slowMs: options.slowMs,
    revocationMs: options.revocationMs,
    guarded: false,
    admits: false,
    echoes: false,
    servedStatus: 200,
    ...(login && { login }),
    ...(issuer && { keys: await keysOf(issuer) }),
    ...(options.websocketPath && { websocketPath: options.websocketPath }),
  }
  const without = await ask(base, 'survey-without')
  const guarded = without.status === 401
  const answer = guarded && token !== undefined ? await ask({ ...base, token }, 'survey-with') : without
  if (guarded && token !== undefined && [401, 403].includes(answer.status)) {
    throw new CannotAttack(`${url.href}: the token is refused there (${answer.status})`)
  }
  if (answer.status >= 500) throw new CannotAttack(`${url.href}: answers with ${answer.status}`)
  const deployment: Deployment = {
    ...base,
    guarded,
    admits: answer.status !== 401 && answer.status !== 403,
    echoes: answer.body.includes('survey-with'),
    servedStatus: answer.status,
    ...(guarded && token !== undefined && { token, claims: claimsOf(token) }),
  }
  const others = await Promise.all(['POST', 'OPTIONS'].map((method) => ask(deployment, 'survey-other', method)))
  deployment.otherStatuses = others.map(({ status }) => status)
  return {
    async current() {
      const endMs = Number(deployment.claims?.exp) * 1000
      if (login && session && endMs - Date.now() < RENEW_MS) {
        session = await login()
        deployment.token = session.token
        deployment.claims = claimsOf(session.token)
      }
      return deployment
    },
    end: async () => session?.logout(),
  }
}

function endpointOf({ protocol, hostname, port }: URL, ca: string | undefined): Endpoint {
  if (protocol !== 'http:' && protocol !== 'https:') throw new CannotAttack(`${protocol} is neither http: nor https:`)
  const isTls = protocol === 'https:'
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || (isTls ? 443 : 80)),
    ...(isTls && { tls: ca === undefined ? {} : { ca } }),
  }
}

async function ask(deployment: Deployment, probe: string, method?: string): Promise<Answer> {
  const { host, port } = deployment.endpoint
  const [answer] = await sendOrdinary(deployment, probe, method).catch((error: NodeJS.ErrnoException) => {
    throw new CannotAttack(`${host}:${port}: ${error.code ?? error.message}`)
  })
  if (!answer || answer.status === 0) throw new CannotAttack(`${host}:${port}: no answer of HTTP/1.1`)
  return answer
}

/** A JWT's claims; none for what is no JWT. */
function claimsOf(token: string): Record<string, unknown> {
  try {
    return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
  } catch {
    throw new CannotAttack('TOKEN is no JWT')
  }
}

async function logIn(issuer: string, credentials: { email: string; password: string }): Promise<Session> {
  const answer = await post(`${issuer}/auth/login`, { ...credentials, transport: 'body' })
  if (answer.status !== 200) throw new CannotAttack(`${issuer}/auth/login: answers with ${answer.status}`)
  const { access_token: token, refresh_token } = (await answer.json()) as Record<string, string>
  if (!token) throw new CannotAttack(`${issuer}/auth/login: no access_token`)
  return {
    token,
    async logout() {
      const { status } = await post(`${issuer}/auth/logout`, { refresh_token }, token)
      if (status !== 200 && status !== 202) throw new CannotAttack(`${issuer}/auth/logout: answers with ${status}`)
    },
  }
}

async function post(url: string, body: unknown, token?: string): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(15_000),
  }).catch((error: Error) => {
    throw new CannotAttack(`${url}: ${error.cause instanceof Error ? error.cause.message : error.message}`)
  })
}

async function keysOf(issuer: string): Promise<Deployment['keys']> {
  const answer = await fetch(`${issuer}/.well-known/jwks.json`, { signal: AbortSignal.timeout(15_000) }).catch(() => {
    throw new CannotAttack(`${issuer}: the keys can't be had`)
  })
  return ((await answer.json()) as { keys: Deployment['keys'] }).keys
}
