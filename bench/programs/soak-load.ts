import { setTimeout as pause } from 'node:timers/promises'
import { Agent, type Dispatcher, request } from 'undici'
import { type Login, login, logout, refresh, register } from '../../test/helpers/client.ts'
import { latencyOf } from '../report.ts'

// The requests of the soak. Each client logs in, uses its access token for a while, refreshes it, and so on, logs out,
// waits until the token is refused, and logs in again. Prints `done N` now and then, and its Result as a line of JSON.

export interface SoakLoad {
  issuer: string
  sidecar: string
  requests: number
  clients: number
  /** How often `done N` is printed: requests. */
  every: number
}

export interface Result {
  /** Requests by status; `cut` had no whole answer, `aborted` was given up by the client, `wrong` had another body. */
  outcomes: Record<string, number>
  tokens: number
  logouts: number
  seconds: number
  latencyMs: { p50: number; p99: number }
  /** The longest time from a logout's answer to the refusal. */
  refusalMs: number
}

const REQUESTS_A_TOKEN = 40
const TOKENS_A_LOGIN = 5
/** A service that is away is not asked at full speed: milliseconds. */
const AFTER_FAILURE_MS = 20
const REFUSED_WITHIN_MS = 10_000
/** One of so many requests is given up when its answer has begun. */
const ABORT_EVERY = 500

const told = JSON.parse(process.argv[2]!) as SoakLoad
const agent = new Agent({ connections: told.clients, pipelining: 1 })
const outcomes: Record<string, number> = {}
const latencies: number[] = []
const bodies = [1000, 60_000].map((bytes) => Buffer.alloc(bytes, 'x'))
let next = 0
let done = 0
let tokens = 0
let logouts = 0
let refusalMs = 0

const beganAt = performance.now()
await Promise.all(Array.from({ length: told.clients }, oneClient))
const seconds = (performance.now() - beganAt) / 1000
const { p50, p99 } = latencyOf(latencies)
const result: Result = { outcomes, tokens, logouts, seconds, latencyMs: { p50, p99 }, refusalMs }
process.stdout.write(`${JSON.stringify(result)}\n`)
await agent.destroy()

async function oneClient(): Promise<void> {
  const credentials = await register(told.issuer)
  while (next < told.requests) {
    let session: Login = await login(told.issuer, credentials)
    for (let n = 1; ; n++) {
      tokens++
      for (let i = 0; i < REQUESTS_A_TOKEN && next < told.requests; i++) await ask(next++, session.access_token)
      if (n === TOKENS_A_LOGIN || next >= told.requests) break
      const renewed = await refresh(told.issuer, session.refresh_token)
      if (renewed.status !== 200) throw new Error(`refresh answered ${renewed.status}`)
      session = renewed.body
    }
    await end(session.access_token)
  }
}

async function end(token: string): Promise<void> {
  const { status } = await logout(told.issuer, token)
  if (status !== 200) throw new Error(`logout answered ${status}`)
  logouts++
  const answeredAt = performance.now()
  while ((await statusOf(token)) !== 401) {
    if (performance.now() - answeredAt > REFUSED_WITHIN_MS) throw new Error('still served after the logout')
  }
  refusalMs = Math.max(refusalMs, performance.now() - answeredAt)
}

async function statusOf(token: string): Promise<number> {
  const { statusCode, body } = await send('/bytes/1', token)
  await body.dump()
  return statusCode
}

async function ask(n: number, token: string): Promise<void> {
  const startedAt = performance.now()
  const outcome = await (n % ABORT_EVERY === 0 ? abort(token) : askOne(n, token)).catch(() => 'cut')
  latencies.push(performance.now() - startedAt)
  outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
  if (++done % told.every === 0) process.stdout.write(`done ${done}\n`)
  if (outcome !== '200' && outcome !== 'aborted') await pause(AFTER_FAILURE_MS)
}

/** Mostly small answers, some large ones, some uploads. */
async function askOne(n: number, token: string): Promise<string> {
  const upload = bodies[(n % 16) - 14]
  const bytes = n % 16 === 13 ? 200_000 : n % 16 > 9 ? 10_000 : 300
  const { statusCode, body } = await send(upload ? '/upload' : `/bytes/${bytes}`, token, upload)
  const received = await body.arrayBuffer()
  if (statusCode !== 200) return String(statusCode)
  const right = upload ? Buffer.from(received).toString() === String(upload.length) : received.byteLength === bytes
  return right ? '200' : 'wrong'
}

async function abort(token: string): Promise<string> {
  const { statusCode, body } = await send('/bytes/5000000', token)
  body.on('error', () => {})
  body.destroy()
  return statusCode === 200 ? 'aborted' : String(statusCode)
}

function send(path: string, token: string, body?: Buffer): Promise<Dispatcher.ResponseData> {
  const headers = { authorization: `Bearer ${token}` }
  return request(`${told.sidecar}${path}`, { dispatcher: agent, headers, method: body ? 'POST' : 'GET', body })
}
