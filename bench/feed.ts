import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto'
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { createKafkaPublisher } from '../issuer/adapters/kafka-publisher.ts'
import { readPemKey } from '../issuer/domain/pem-key.ts'
import { createLifecycle, pause } from '../shared/lifecycle.ts'
import { createLog } from '../shared/log.ts'
import { partitionKey, type Revocation } from '../shared/revocation.ts'
import { signSecurityEvent } from '../shared/security-event.ts'
import { claimsOf, login, logout, register } from '../test/helpers/client.ts'
import { uniqueName } from '../test/helpers/unique-name.ts'
import { startKafka } from '../test/servers/kafka.ts'
import type { Server } from '../test/servers/server.ts'
import { describeMachine } from './machine.ts'
import { costOf } from './process-cost.ts'
import { type Bench, type Party, untilReady, withBench } from './processes.ts'
import type { Refusals, Sidecars } from './programs/sidecars.ts'
import { latencyOf, say, table } from './report.ts'

// How long it takes from the answer to a logout until the sidecars refuse: a real issuer, a real Kafka, and many sidecars
// in one process, of each of which everything is there that revocations pass through (consumer, signature, list).
// npm run bench:feed [-- --seconds 10]

const { values: options } = parseArgs({ options: { seconds: { type: 'string', default: '10' } } })
const SECONDS = Number(options.seconds)
const ISSUER_URL = 'http://issuer.example'
const AUDIENCE = 'sallyport'
const REVOKED_FOR_S = 600
const SESSIONS_A_USER = 20
/** How long whoever reads may take after the last revocation: milliseconds. */
const DRAIN_MS = 300_000

interface Row {
  sidecars: number
  /** Revocations a second. */
  rate: number
  how: 'logout' | 'publisher'
}

const ROWS: Row[] = [
  { sidecars: 50, rate: 20, how: 'logout' },
  { sidecars: 50, rate: 100, how: 'publisher' },
  { sidecars: 5, rate: 1000, how: 'publisher' },
  { sidecars: 50, rate: 1000, how: 'publisher' },
]

/** When a revocation counted for the one who asked for it: CLOCK_MONOTONIC, milliseconds. */
type Answered = Map<string, number>
/** Revokes one session. @returns its id, once that is answered */
type Revoke = () => Promise<string>

await withBench(async (bench) => {
  say(`machine: ${describeMachine()}`)
  const kafka = await startKafka()
  bench.onEnd(kafka.stop)
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  const rows = []
  for (const row of ROWS) rows.push(await measure(bench, row, kafka, pem))
  const head = [
    'sidecars',
    'a second',
    'by',
    'one: p50 ms',
    'p99 ms',
    'all: p50 ms',
    'p99 ms',
    'CPU µs an event',
    'of the broker',
  ]
  say(`\n${table([head, ...rows])}`)
  say(
    "\nby: POST /auth/logout of the issuer, or the issuer's Kafka publisher alone; one: from the answer (of the publisher: " +
      "the broker's acknowledgement) to the refusal at the first sidecar; all: to that at the last one; CPU: of the process " +
      'of the sidecars, and of the broker, for one event at one sidecar. All sidecars of a row share one core at most: with ' +
      'sidecars × events a second × CPU above a second, what is measured is the queue before that core. ' +
      `Load average ${loadavg()[0]!.toFixed(2)}`,
  )
})

async function measure(bench: Bench, { sidecars, rate, how }: Row, server: Server, pem: string): Promise<string[]> {
  const expected = rate * SECONDS
  say(`${sidecars} sidecars, ${rate} revocations a second for ${SECONDS} s`)
  const kafka = { KAFKA_BROKERS: server.url, KAFKA_TOPIC: `${uniqueName('feed')}.revocations` }
  const issuer = await bench.role('issuer', {
    ...kafka,
    ISSUER_URL,
    ISSUER_PORT: '0',
    DATA_DIR: bench.folder(),
    SIGNING_KEY: pem,
    RATE_LIMITS: 'off',
    LOGIN_THROTTLE: 'off',
    HASH_MEMORY_KIB: '7168',
    HASH_TIME: '5',
  })
  await untilReady(issuer)
  const revoke = how === 'logout' ? await byLogout(issuer, expected) : await byPublisher(bench, kafka, pem)
  const env = { ...kafka, ISSUER_URL, ISSUER_INTERNAL_URL: issuer.url, UPSTREAM: 'http://127.0.0.1:1' }
  const reading = bench.start('sidecars', { count: sidecars, expected, env } satisfies Sidecars)
  await reading.waitForLine(/^ready$/, 120_000)
  const cpuS = () => [costOf(reading.pid).cpuS, costOf(server.pid).cpuS]
  const before = cpuS()
  const answered = await atRate(revoke, rate, expected)
  const [line] = await reading.waitForLine(/^\{.*\}$/, DRAIN_MS)
  const cpuUs = cpuS().map((after, i) => ((after - before[i]!) / (expected * sidecars)) * 1e6)
  await Promise.all([reading.kill('SIGKILL'), issuer.process.kill('SIGTERM')])
  const refusals = JSON.parse(line) as Refusals
  const waits = [...answered].map(([sid, at]) => {
    const refused = refusals[sid]
    if (refused?.sidecars !== sidecars) throw new Error(`only ${refused?.sidecars ?? 0} sidecars refuse a session`)
    return { one: refused.first - at, all: refused.last - at }
  })
  const one = latencyOf(waits.map((wait) => wait.one))
  const all = latencyOf(waits.map((wait) => wait.all))
  const figures = [one.p50, one.p99, all.p50, all.p99].map((ms) => ms.toFixed(1))
  return [String(sidecars), String(rate), how, ...figures, ...cpuUs.map((us) => us.toFixed(0))]
}

/** Evenly, whether those before have been answered or not. */
async function atRate(revoke: Revoke, rate: number, count: number): Promise<Answered> {
  const answered: Answered = new Map()
  const asked: Promise<void>[] = []
  const begin = performance.now()
  while (asked.length < count) {
    const due = Math.min(count, Math.ceil(((performance.now() - begin) / 1000) * rate))
    while (asked.length < due) {
      asked.push(revoke().then((sid) => void answered.set(sid, Number(process.hrtime.bigint()) / 1e6)))
    }
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await Promise.all(asked)
  return answered
}

async function byLogout({ url }: Party, count: number): Promise<Revoke> {
  const tokens: string[] = []
  const logIn = async () => {
    // One user may have only so many sessions at a time.
    const credentials = await register(url)
    for (let n = 0; n < SESSIONS_A_USER; n++) tokens.push((await login(url, credentials)).access_token)
  }
  while (tokens.length < count) await Promise.all([logIn(), logIn()])
  return async () => {
    const token = tokens.pop()!
    const { status } = await logout(url, token)
    if (status !== 200) throw new Error(`logout answered ${status}`)
    return claimsOf(token).sid
  }
}

async function byPublisher(
  bench: Bench,
  kafka: { KAFKA_BROKERS: string; KAFKA_TOPIC: string },
  pem: string,
): Promise<Revoke> {
  const read = readPemKey(pem, undefined)
  if (!read.ok) throw new Error(read.problem)
  const log = createLog('bench', 'error')
  const lifecycle = createLifecycle(log)
  bench.onEnd(() => lifecycle.close())
  const address = { brokers: kafka.KAFKA_BROKERS.split(','), topic: kafka.KAFKA_TOPIC, longestLifetimeS: () => 300 }
  const publisher = createKafkaPublisher(address, `bench-${randomBytes(4).toString('hex')}`, log, lifecycle)
  while (!publisher.check().ok) await pause(20, lifecycle.signal)
  return async () => {
    const nowMs = Date.now()
    const exp = Math.floor(nowMs / 1000) + REVOKED_FOR_S
    const revocation: Revocation = { kind: 'session', sid: randomUUID(), sub: randomUUID(), exp }
    const token = signSecurityEvent(
      read.pair,
      { type: 'revocation', revocation },
      { issuer: ISSUER_URL, audience: [AUDIENCE], nowMs },
    )
    await publisher.publish([{ key: partitionKey(revocation), token }])
    return revocation.sid
  }
}
