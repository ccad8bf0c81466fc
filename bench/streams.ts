import { randomBytes, randomUUID } from 'node:crypto'
import { loadavg } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createMongoStore } from '../issuer/adapters/mongo/store.ts'
import { revocationId } from '../shared/revocation.ts'
import { claimsOf, login, logout, register } from '../test/helpers/client.ts'
import { startRedis } from '../test/servers/redis.ts'
import { CHEAPEST } from './issuer/production.ts'
import { startBenchMongo } from './issuer/secantus.ts'
import { describeMachine } from './machine.ts'
import { costOf } from './process-cost.ts'
import { type Bench, metricOf, type Party, untilReady, withBench } from './processes.ts'
import type { Arrivals, StreamClients } from './programs/stream-clients.ts'
import { latencyOf, megabytes, say, table } from './report.ts'

// What an issuer costs that serves its stream to many sidecars and nothing else (a relay), beside another one of the
// same MongoDB that takes the logouts. No Kafka: the relay learns of them from the ledger.
// npm run bench:streams [-- --only readers,tail,snapshots --readers 1,500,2000 --seconds 10 --live 100000 --snapshots 1,20,200]
// `--live`: revocations while snapshots are asked for; `--snapshots`: by how many at once.

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: 'readers,tail,snapshots' },
    readers: { type: 'string', default: '1,500,2000' },
    seconds: { type: 'string', default: '10' },
    live: { type: 'string', default: '100000' },
    snapshots: { type: 'string', default: '1,20,200' },
  },
})
const SECONDS = Number(options.seconds)
const FEED_TOKEN = randomBytes(32).toString('hex')
/** Logouts a second while streams are read. */
const RATE = 20
const SESSIONS_A_USER = 20
const SETTLE_MS = 5000
/** Connections opened at once. */
const AT_ONCE = 50
/** Revocations a second written into the ledger while its tail is watched. */
const TAIL_RATES = [0, 100, 300]
/** How far back the tail of the ledger in MongoDB reads, so that its load has become what it stays: milliseconds. */
const TAIL_WINDOW_MS = 15_000
const LIVE = Number(options.live)
const SAMPLE_MS = 50
const RECORDED_AT_ONCE = 200
const REVOKED_FOR_S = 3600
const WITHIN_MS = 300_000

type Env = Record<string, string>
type MongoStore = ReturnType<typeof createMongoStore>

await withBench(async (bench) => {
  say(`machine: ${describeMachine()}`)
  const mongo = await startBenchMongo()
  bench.onEnd(mongo.stop)
  const redis = await startRedis()
  bench.onEnd(redis.stop)
  say(`servers: ${mongo.what}; Redis; no Kafka`)
  const parts: Record<string, (env: Env) => Promise<void>> = {
    readers: (env) => measureReaders(bench, env),
    tail: (env) => measureTail(bench, env),
    snapshots: (env) => measureSnapshots(bench, env),
  }
  for (const name of options.only.split(',')) {
    const database = new URL(mongo.url)
    database.pathname = `/streams_${randomBytes(4).toString('hex')}`
    await parts[name]!({
      ISSUER_URL: 'http://issuer.example',
      ISSUER_PORT: '0',
      MONGO_URL: database.href,
      REDIS_URL: redis.url,
      REDIS_PREFIX: `${database.pathname.slice(1)}:`,
      MASTER_KEY: 'a master key of benchmarks that guards nothing',
      FEED_TOKEN,
      RATE_LIMITS: 'off',
      LOGIN_THROTTLE: 'off',
      ...CHEAPEST,
    })
  }
  say(`\nload average at the end: ${loadavg()[0]!.toFixed(2)}`)
})

async function measureReaders(bench: Bench, env: Env): Promise<void> {
  const rows: string[][] = []
  const issuer = await startIssuer(bench, env)
  for (const count of options.readers.split(',').map(Number)) {
    say(`${count} readers`)
    const relay = await startIssuer(bench, env)
    await setTimeout(SETTLE_MS)
    const { residentBytes: before } = costOf(relay.pid)
    const expected = RATE * SECONDS
    const tokens = await sessions(issuer, expected)
    const clients = readStreams(bench, relay, { count, expected, atOnce: AT_ONCE })
    await clients.waitForLine(/^ready$/, WITHIN_MS)
    await setTimeout(SETTLE_MS)
    const idleMs = await cpuMsPerSecond(relay, SECONDS)
    const memory = costOf(relay.pid).residentBytes - before
    const cpuBefore = costOf(relay.pid).cpuS
    const begin = performance.now()
    const answered = await logOut(issuer, tokens)
    const [line] = await clients.waitForLine(/^\{.*\}$/, WITHIN_MS)
    const busyMs = (costOf(relay.pid).cpuS - cpuBefore) * 1000
    const seconds = (performance.now() - begin) / 1000
    const arrivals = JSON.parse(line) as Arrivals
    const waits = [...answered].map(([sid, at]) => {
      const arrival = arrivals[sid]
      if (arrival?.readers !== count) throw new Error(`only ${arrival?.readers ?? 0} readers heard of a logout`)
      return { one: arrival.first - at, all: arrival.last - at }
    })
    const [one, all] = [latencyOf(waits.map((wait) => wait.one)), latencyOf(waits.map((wait) => wait.all))]
    const eventUs = ((busyMs - idleMs * seconds) * 1000) / (expected * count)
    rows.push([
      String(count),
      idleMs.toFixed(1),
      ((idleMs * 1000) / count).toFixed(1),
      megabytes(memory),
      (memory / 1000 / count).toFixed(1),
      (busyMs / seconds).toFixed(1),
      eventUs.toFixed(1),
      ...[one.p50, all.p50, all.p99].map((ms) => ms.toFixed(0)),
    ])
    await Promise.all([clients.kill('SIGKILL'), relay.process.kill('SIGTERM')])
    // The next relay would tell its readers of these logouts too.
    await setTimeout(TAIL_WINDOW_MS)
  }
  const idle = ['readers', 'idle CPU ms/s', 'µs/s a reader', 'more MB', 'kB a reader']
  const busy = [`CPU ms/s, ${RATE} logouts/s`, 'µs an event and reader', 'first: p50 ms', 'last: p50 ms', 'p99 ms']
  say(`\n${table([[...idle, ...busy], ...rows])}`)
  say(
    'CPU and memory: of the relay, an issuer that reads the ledger five times a second; idle: a heartbeat a second; ' +
      "first, last: from logout's answer at the other issuer until the first and the last reader had the event",
  )
}

/** What reading the ledger five times a second costs the relay, by how much is new in it. */
async function measureTail(bench: Bench, env: Env): Promise<void> {
  const relay = await startIssuer(bench, env)
  const clients = readStreams(bench, relay, { count: 1, expected: 0, atOnce: 1 })
  await clients.waitForLine(/^ready$/, WITHIN_MS)
  const rows: string[][] = []
  await withStore(env, async ({ ports: { ledger } }) => {
    for (const rate of TAIL_RATES) {
      say(`${rate} revocations a second into the ledger`)
      const over = new AbortController()
      const writing = record(ledger, rate, over.signal)
      await setTimeout(TAIL_WINDOW_MS)
      const cpuMs = await cpuMsPerSecond(relay, SECONDS)
      over.abort()
      rows.push([(await writing).toFixed(0), cpuMs.toFixed(1)])
      await setTimeout(TAIL_WINDOW_MS)
    }
  })
  say(`\n${table([['revocations/s', 'CPU ms/s of a relay with one reader'], ...rows])}`)
  await Promise.all([clients.kill('SIGKILL'), relay.process.kill('SIGTERM')])
}

async function measureSnapshots(bench: Bench, env: Env): Promise<void> {
  const relay = await startIssuer(bench, env)
  say(`recording ${LIVE} revocations`)
  await withStore(env, async ({ ports: { ledger } }) => {
    for (let done = 0; done < LIVE; done += RECORDED_AT_ONCE) await ledger.record(entries(RECORDED_AT_ONCE))
  })
  const rows: string[][] = []
  for (const count of options.snapshots.split(',').map(Number)) {
    say(`${count} at once`)
    await setTimeout(SETTLE_MS)
    const before = costOf(relay.pid)
    const readsBefore = await readsOf(relay)
    const watch = watchMemory(relay.pid)
    const begin = performance.now()
    const clients = readStreams(bench, relay, { count, expected: 0, atOnce: count })
    await clients.waitForLine(/^ready$/, WITHIN_MS)
    const seconds = (performance.now() - begin) / 1000
    const cpuS = costOf(relay.pid).cpuS - before.cpuS
    const reads = String((await readsOf(relay)) - readsBefore)
    const failed = String(clients.stdout().split('failed\n').length - 1)
    const entryUs = ((cpuS / (LIVE * count)) * 1e6).toFixed(2)
    const memory = [before.residentBytes, watch.end()].map(megabytes)
    rows.push([String(count), seconds.toFixed(1), cpuS.toFixed(2), entryUs, reads, ...memory, failed])
    await clients.kill('SIGKILL')
  }
  const head = ['snapshots at once', 'all there s', 'CPU s', 'µs an entry', 'reads', 'MB before', 'MB peak', 'failed']
  say(`\n${table([head, ...rows])}`)
  say(
    `each with ${LIVE} entries; CPU and memory: of the relay; reads: of the ledger; failed: ended by the relay, as its store ` +
      'was too slow, and begun anew; what the clients take of the two is in the seconds',
  )
}

/** How often it has read the ledger for a snapshot. */
function readsOf(relay: Party): Promise<number> {
  return metricOf(relay, 'revocation_stream_snapshots_total{from="ledger"}').catch(() => 0)
}

/** @returns what ends it and tells the most that was resident meanwhile: bytes */
function watchMemory(pid: number) {
  let most = 0
  const sample = () => {
    most = Math.max(most, costOf(pid).residentBytes)
  }
  const timer = setInterval(sample, SAMPLE_MS)
  return {
    end() {
      clearInterval(timer)
      sample()
      return most
    },
  }
}

async function startIssuer(bench: Bench, env: Env): Promise<Party> {
  const party = await bench.role('issuer', { ...env, DATA_DIR: bench.folder() })
  await untilReady(party)
  return party
}

function readStreams(bench: Bench, relay: Party, clients: Omit<StreamClients, 'url' | 'token'>) {
  const told: StreamClients = { url: relay.url, token: FEED_TOKEN, ...clients }
  return bench.start('stream-clients', told)
}

async function sessions({ url }: Party, count: number): Promise<string[]> {
  const tokens: string[] = []
  const logIn = async () => {
    const credentials = await register(url)
    for (let n = 0; n < SESSIONS_A_USER; n++) tokens.push((await login(url, credentials)).access_token)
  }
  while (tokens.length < count) await Promise.all([logIn(), logIn()])
  return tokens.slice(0, count)
}

/** @returns when each logout was answered: CLOCK_MONOTONIC, milliseconds */
async function logOut({ url }: Party, tokens: string[]): Promise<Map<string, number>> {
  const answered = new Map<string, number>()
  let next = 0
  const over = new AbortController()
  await evenly(RATE, over.signal, async (count) => {
    const due = tokens.slice(next, next + count)
    next += count
    if (next >= tokens.length) over.abort()
    for (const token of due) {
      const { status } = await logout(url, token)
      if (status !== 200) throw new Error(`logout answered ${status}`)
      answered.set(claimsOf(token).sid, Number(process.hrtime.bigint()) / 1e6)
    }
  })
  return answered
}

/** Writes as many as are due, one batch at a time. @returns how many a second it came to */
async function record(ledger: MongoStore['ports']['ledger'], rate: number, signal: AbortSignal): Promise<number> {
  const begin = performance.now()
  const seconds = () => (performance.now() - begin) / 1000
  let written = 0
  while (!signal.aborted) {
    const due = Math.floor(seconds() * rate) - written
    if (due > 0) await ledger.record(entries(due))
    written += due
    await setTimeout(20)
  }
  return written / seconds()
}

/** Calls `some` with how many are due, at an even rate, without waiting for the calls before. */
async function evenly(rate: number, signal: AbortSignal, some: (count: number) => Promise<void>): Promise<void> {
  const calls: Promise<void>[] = []
  const begin = performance.now()
  for (let written = 0; !signal.aborted; ) {
    const due = Math.floor(((performance.now() - begin) / 1000) * rate) - written
    if (due > 0) calls.push(some(due))
    written += due
    await setTimeout(20)
  }
  await Promise.all(calls)
}

function entries(count: number) {
  const exp = Math.floor(Date.now() / 1000) + REVOKED_FOR_S
  return Array.from({ length: count }, () => {
    const revocation = { kind: 'session', sid: randomUUID(), sub: randomUUID(), exp } as const
    return { id: revocationId(revocation), revocation, keepUntilMs: exp * 1000 }
  })
}

async function withStore(env: Env, work: (store: MongoStore) => Promise<void>): Promise<void> {
  const store = createMongoStore(env.MONGO_URL!)
  try {
    await store.open()
    await work(store)
  } finally {
    await store.close()
  }
}

async function cpuMsPerSecond({ pid }: Party, seconds: number): Promise<number> {
  const [before, begin] = [costOf(pid).cpuS, performance.now()]
  await setTimeout(seconds * 1000)
  return ((costOf(pid).cpuS - before) * 1000) / ((performance.now() - begin) / 1000)
}
