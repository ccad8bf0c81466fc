import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { login, logout, register } from '../test/helpers/client.ts'
import { type LongLivedKind, openLongLived, openMany } from '../test/helpers/long-lived.ts'
import { freePort } from '../test/helpers/port.ts'
import { describeMachine } from './machine.ts'
import { costOf } from './process-cost.ts'
import { type Bench, metricOf, type Party, untilReady, withBench } from './processes.ts'
import type { IdleConnections } from './programs/idle-connections.ts'
import type { Result, SoakLoad } from './programs/soak-load.ts'
import { megabytes, say, table } from './report.ts'
import { growthOf, ONCE, type Sample, TOLERATED } from './soak/growth.ts'
import { INSPECTABLE, type LiveMemory, watchMemory } from './soak/live-memory.ts'

// What a sidecar does in the long run: what idle connections cost, how fast thousands of open ones of one user end, and
// whether memory grows over many requests. Issuer, service, sidecar and load are processes of their own.
// npm run bench:soak [-- --quick] [--requests 1000000]

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, requests: { type: 'string' } },
})
const [IDLE, OPEN, REQUESTS, WARM_UP] = options.quick ? [1000, 500, 20_000, 2000] : [10_000, 5000, 200_000, 20_000]
const CLIENTS = 64
const DEVICES = 5
const SAMPLES = 30
/** Small enough to be full soon: a cache that fills is no leak. */
const TOKEN_CACHE_SIZE = 500
const IDLE_S = 5
/** Far more than any part takes: milliseconds. */
const WITHIN = 180_000
/** Files and connections that are none of those that are counted. */
const SPARE_FILES = 200

interface Parties {
  bench: Bench
  issuer: Party
  service: Party
  sidecar: Party
  live(): Promise<LiveMemory>
}

await withBench(async (bench) => {
  say(`machine: ${describeMachine()}`)
  const parties = await startAll(bench)
  await soak(parties, WARM_UP, 'warm-up')
  await idle(parties)
  for (const kind of ['websocket', 'events'] as const) await endAll(parties, kind)
  const grew = await soak(parties, Number(options.requests ?? REQUESTS), 'soak')
  if (grew) process.exitCode = 1
})

async function startAll(bench: Bench): Promise<Parties> {
  const common = { ISSUER_URL: 'http://issuer.example', FEED_TOKEN: randomBytes(32).toString('hex') }
  const service = await bench.program('soak-service', { PORT: String(await freePort()) })
  const issuer = await bench.role('issuer', {
    ...common,
    ISSUER_PORT: '0',
    DATA_DIR: bench.folder(),
    RATE_LIMITS: 'off',
    LOGIN_THROTTLE: 'off',
    // The cheapest that is accepted: this is not about hashing.
    HASH_MEMORY_KIB: '7168',
    HASH_TIME: '5',
  })
  const sidecarSettings = {
    ...common,
    ISSUER_INTERNAL_URL: issuer.url,
    SIDECAR_PORT: '0',
    SIDECAR_ADMIN_PORT: '0',
    DATA_DIR: bench.folder(),
    UPSTREAM: service.url,
    TOKEN_CACHE_SIZE: String(TOKEN_CACHE_SIZE),
  }
  const sidecar = await bench.role('sidecar', sidecarSettings, [INSPECTABLE])
  await untilReady(sidecar)
  return { bench, issuer, service, sidecar, live: await watchMemory(bench, sidecar.process) }
}

/** As many connections as this machine lets the sidecar have, `each` of them taking so many files. */
function bounded(count: number, { pid }: Party, each: number): number {
  const [, limit] = /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8')) ?? []
  const possible = Math.floor((Number(limit ?? Number.POSITIVE_INFINITY) - SPARE_FILES) / each)
  if (possible < count) say(`only ${possible} of ${count}: a process may open no more files here`)
  return Math.min(count, possible)
}

async function idle({ bench, issuer, sidecar, live }: Parties): Promise<void> {
  const { access_token: token } = await login(issuer.url, await register(issuer.url))
  const count = bounded(IDLE, sidecar, 1)
  const before = await live()
  const client = bench.start('idle-connections', { url: sidecar.url, token, count } satisfies IdleConnections)
  await client.waitForLine(/^open$/, WITHIN)
  const during = await live()
  const cpuBefore = costOf(sidecar.pid).cpuS
  await pause(IDLE_S * 1000)
  const cpuMs = ((costOf(sidecar.pid).cpuS - cpuBefore) * 1000) / IDLE_S
  const ended = /^ended (\d+)$/m.exec(client.stdout())
  await client.kill()
  await untilNoneIsOpen(sidecar)
  const after = await live()
  const each = (of: (memory: LiveMemory) => number) => `${((of(during) - of(before)) / count / 1000).toFixed(1)} kB`
  say(
    `\n${count} idle keep-alive connections: ${each(({ heap, external }) => heap + external)} each in use, ` +
      `${each(({ resident }) => resident)} each resident; ${cpuMs.toFixed(1)} ms of CPU a second; ` +
      `${ended ? 'some' : 'none'} ended meanwhile`,
  )
  const row = (name: string, { heap, external, resident }: LiveMemory) => [
    name,
    ...[heap, external, resident].map(megabytes),
  ]
  say(table([['MB', 'heap', 'external', 'resident'], row('before', before), row('idle', during), row('closed', after)]))
}

async function untilNoneIsOpen(sidecar: Party): Promise<void> {
  while ((await metricOf(sidecar, 'sidecar_open_streams')) > 0) await pause(50)
  // The ends of connections that idle are nobody's to count.
  await pause(1000)
}

async function endAll({ issuer, sidecar }: Parties, kind: LongLivedKind): Promise<void> {
  const credentials = await register(issuer.url)
  const devices = await Promise.all(Array.from({ length: DEVICES }, () => login(issuer.url, credentials)))
  const count = bounded(OPEN, sidecar, 2)
  const all = await openMany(count, (n) => openLongLived(sidecar.url, kind, devices[n % DEVICES]!.access_token))
  const cpuBefore = costOf(sidecar.pid).cpuS
  const askedAt = performance.now()
  await logout(issuer.url, devices[0]!.access_token, { all: true })
  const answeredAt = performance.now()
  const ends = await Promise.all(all.map(({ ended }) => ended))
  const last = Math.max(...ends.map(({ atMs }) => atMs))
  const codes = [...new Set(ends.map(({ code }) => code))].join(', ')
  await untilNoneIsOpen(sidecar)
  const cpuMs = (costOf(sidecar.pid).cpuS - cpuBefore) * 1000
  for (const one of all) one.destroy()
  say(
    `\n${count} ${kind === 'websocket' ? `WebSockets (close code ${codes})` : 'event streams'} of one user on ${DEVICES} devices: ` +
      `the last is ended ${(last - askedAt).toFixed(0)} ms after the logout was asked for, ` +
      `${(last - answeredAt).toFixed(0)} ms after its answer; ${cpuMs.toFixed(0)} ms of CPU`,
  )
}

/** @returns whether memory grew */
async function soak(parties: Parties, requests: number, name: 'warm-up' | 'soak'): Promise<boolean> {
  const { bench, issuer, sidecar, live } = parties
  const every = Math.floor(requests / SAMPLES)
  const told: SoakLoad = { issuer: issuer.url, sidecar: sidecar.url, requests, clients: CLIENTS, every }
  const load = bench.start('soak-load', told)
  const ended = load.exited.then(() => {
    throw new Error(`the load ended: ${load.stderr()}`)
  })
  ended.catch(() => {})
  const samples: ({ requests: number; residentBefore: number } & LiveMemory)[] = []
  for (let n = 1; n < SAMPLES; n++) {
    await Promise.race([load.waitForLine(new RegExp(`^done ${n * every}$`), WITHIN), ended])
    if (name === 'warm-up') continue
    const residentBefore = costOf(sidecar.pid).residentBytes
    samples.push({ requests: n * every, residentBefore, ...(await live()) })
    if (n === SAMPLES / 2) await restartService(parties)
  }
  await load.waitForExit(WITHIN)
  if (name === 'warm-up') return false
  const result = JSON.parse(load.stdout().trim().split('\n').at(-1)!) as Result
  const { outcomes, tokens, logouts, seconds, latencyMs, refusalMs } = result
  const counts = Object.entries(outcomes).map(([outcome, count]) => `${count} ${outcome}`)
  say(
    `\n${requests} requests over ${CLIENTS} connections in ${seconds.toFixed(0)} s, p50 ${latencyMs.p50.toFixed(1)} ms, ` +
      `p99 ${latencyMs.p99.toFixed(1)} ms; ${tokens} tokens, ${logouts} logouts (refused within ${refusalMs.toFixed(0)} ms), ` +
      `one restart of the service: ${counts.join(', ')}`,
  )
  if (outcomes.wrong) throw new Error('an answer was not the one that was asked for')
  say(
    table([
      ['after', 'heap MB', 'external MB', 'resident MB', 'before the collection'],
      ...samples
        .filter((_, i) => i % 4 === 0 || i === samples.length - 1)
        .map((sample) => [
          String(sample.requests),
          ...[sample.heap, sample.external, sample.resident, sample.residentBefore].map((bytes) =>
            (bytes / 1e6).toFixed(1),
          ),
        ]),
    ]),
  )
  const growth = (bytes: (sample: (typeof samples)[number]) => number) =>
    growthOf(samples.map((sample): Sample => ({ requests: sample.requests, bytes: bytes(sample) })))
  const inUse = growth(({ heap, external }) => heap + external)
  const resident = growth(({ resident }) => resident)
  for (const [what, { first, last, slope }] of [
    ['in use', inUse],
    ['resident', resident],
  ] as const) {
    say(
      `${what}: ${(first / 1e6).toFixed(1)} MB in the first third, ${(last / 1e6).toFixed(1)} MB in the last: ${slope.toFixed(1)} bytes a request`,
    )
  }
  say(
    `memory ${inUse.grew ? 'grew' : 'did not grow'} (${TOLERATED} bytes a request in use, or ${megabytes(ONCE)} MB in all, are within bounds)`,
  )
  return inUse.grew
}

/** Without notice, and on the same port. */
async function restartService(parties: Parties): Promise<void> {
  const { port } = new URL(parties.service.url)
  await parties.service.process.kill('SIGKILL')
  parties.service = await parties.bench.program('soak-service', { PORT: port })
}
