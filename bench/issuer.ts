import { readdirSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { summarize } from './cpu-profile.ts'
import { measureStorm } from './issuer/login-storm.ts'
import { CHEAPEST, type Env, HASH_COSTS, type Production, startProduction } from './issuer/production.ts'
import { ISSUER_PARTS } from './issuer/profile.ts'
import { countRoundTrips } from './issuer/round-trips.ts'
import { type Run, run } from './issuer/runs.ts'
import { describeMachine } from './machine.ts'
import { type Bench, withBench } from './processes.ts'
import { megabytes, say, table } from './report.ts'

// What the issuer costs on the production composition: Redis, a server of MongoDB's wire protocol, Kafka, and issuers as
// processes of their own. All of it shares the cores of this machine, the load generator included.
// npm run bench:issuer [-- --only passwords,refresh,profile,storm --count 1000 --refreshes 10000 --storm-seconds 8]

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: 'passwords,refresh,profile,storm' },
    /** Turns of the workloads that hash; refreshes; how long the storm is measured: seconds. */
    count: { type: 'string', default: '1000' },
    refreshes: { type: 'string', default: '10000' },
    'storm-seconds': { type: 'string', default: '8' },
  },
})
const parts = options.only.split(',')
const cores = availableParallelism()
const STORM_FACTOR = 20
/** So many turns until what a request costs beside its hash has become what it will stay. */
const PASSWORD_WARM_UP = 2500
/** The columns that rowsOf fills. */
const FIGURES = 'issuers, requests/s, request, p50 ms, p95, p99, CPU ms/request, hashing, MB, strangers'.split(', ')
/** High enough to be counted and never reached. */
const COUNTED = ['login', 'register', 'refresh'].map((name) => `${name}=1000000/1m`).join()

await withBench(async (bench) => {
  say(`machine: ${describeMachine()}`)
  const production = await startProduction(bench)
  say(
    `servers: ${production.what}; 16 requests in flight; the load generator, the servers and the issuers share the cores`,
  )
  if (parts.includes('passwords')) await passwords(bench, production)
  if (parts.includes('refresh')) await refreshes(bench, production)
  if (parts.includes('profile')) await profile(bench, production)
  if (parts.includes('storm')) await storm(bench, production)
  say(`\nload average at the end: ${loadavg()[0]!.toFixed(2)}`)
})

/** 1000 registers; 1000 registers and logins. */
async function passwords(bench: Bench, production: Production): Promise<void> {
  const rows: string[][] = []
  for (const [i, { name, env }] of HASH_COSTS.entries()) {
    for (const processes of processCounts()) {
      const issuers = await production.issuers(`passwords${i}_${processes}`, processes, env)
      for (const workload of ['register', 'register-login'] as const) {
        const done = await run(bench, production, issuers, workload, Number(options.count), PASSWORD_WARM_UP)
        rows.push(...rowsOf(`${workload} ${name}`, processes, done))
      }
      for (const { process } of issuers) await process.kill('SIGTERM')
    }
  }
  say(`\n${table([['workload, Argon2id', ...FIGURES], ...rows])}`)
  say('CPU: user and system time of all issuers, by request; hashing: the share of it of the threads that hash')
}

/** 10 users and 10,000 refreshes, each of which rotates. */
async function refreshes(bench: Bench, production: Production): Promise<void> {
  const rows: string[][] = []
  const shares: string[][] = []
  const kinds: { name: string; env: Env }[] = [
    { name: 'refresh', env: {} },
    { name: 'refresh, rate limit counted', env: { RATE_LIMITS: COUNTED } },
  ]
  for (const [i, { name, env }] of kinds.entries()) {
    for (const processes of processCounts()) {
      const issuers = await production.issuers(`refresh${i}_${processes}`, processes, { ...CHEAPEST, ...env })
      const done = await run(bench, production, issuers, 'refresh', Number(options.refreshes))
      rows.push(...rowsOf(name, processes, done))
      const used = [done.cpuMs, ...done.othersMs]
      const all = used.reduce((sum, ms) => sum + ms, 0)
      shares.push([
        name,
        String(processes),
        ...used.map(microseconds),
        microseconds(all),
        ((cores * 1000) / all).toFixed(0),
      ])
      for (const { process } of issuers) await process.kill('SIGTERM')
    }
  }
  say(`\n${table([['workload', ...FIGURES], ...rows])}`)
  say('strangers: cores that other programs of this machine used meanwhile')
  const of = [
    'CPU µs of one refresh',
    'issuers',
    'issuers',
    ...production.names,
    'load',
    'all',
    `${cores} cores give at most/s`,
  ]
  say(`\n${table([of, ...shares])}`)
}

/** Where the time of a refresh goes. */
async function profile(bench: Bench, production: Production): Promise<void> {
  const trips = await countRoundTrips(bench, production)
  const tripRows = trips.map(({ request, redis, mongo }) => [request, redis.toFixed(1), mongo.toFixed(1)])
  say(`\n${table([['sent by one request', 'to Redis', 'to MongoDB'], ...tripRows])}`)

  const folder = bench.folder()
  const issuers = await production.issuers('profile', 1, CHEAPEST, ['--cpu-prof', `--cpu-prof-dir=${folder}`])
  const { cpuMs } = await run(bench, production, issuers, 'refresh', Number(options.refreshes))
  await issuers[0]!.process.kill('SIGTERM')
  const file = readdirSync(folder).find((name) => name.endsWith('.cpuprofile'))!
  const rows = summarize(join(folder, file), ISSUER_PARTS).map(({ part, share }) => [
    part,
    `${(share * 100).toFixed(1)} %`,
  ])
  say(`\n${table([['event loop while refreshing, start included', 'share'], ...rows])}`)
  say(`CPU of a refresh under the profiler: ${microseconds(cpuMs)} µs`)
}

async function storm(bench: Bench, production: Production): Promise<void> {
  const issuers = await production.issuers('capacity', 1)
  const { perSecond } = await run(bench, production, issuers, 'register', 300)
  await issuers[0]!.process.kill('SIGTERM')
  const seconds = Number(options['storm-seconds'])
  const report = await measureStorm(bench, production, { stormPerSecond: perSecond * STORM_FACTOR, seconds, env: {} })
  const { atRest, during } = report
  const latency = (
    name: string,
    { count, p50, p95, p99 }: { count: number; p50: number; p95: number; p99: number },
  ) => [name, String(count), ...[p50, p95, p99].map((ms) => ms.toFixed(1))]
  const answers = Object.entries(report.storm.answers).map(([status, taken]) =>
    latency(`  a login answered ${status}`, taken),
  )
  say(
    `\nhashing capacity ${perSecond.toFixed(0)}/s; storm: ${report.stormPerSecond.toFixed(0)} logins/s for ${seconds} s`,
  )
  const head = ['', 'answers', 'p50 ms', 'p95', 'p99']
  say(
    table([
      head,
      latency('refresh at rest', atRest.refresh),
      latency('refresh during the storm', during.refresh),
      ...answers,
    ]),
  )
  say(
    `p99 of refresh: ${(during.refresh.p99 / atRest.refresh.p99).toFixed(1)} times; refreshes that failed or could not be ` +
      `sent: ${during.failed + during.unsent}; logins that could not be sent: ${report.storm.unsent}; the issuer's peak ` +
      `memory: ${megabytes(report.peakBefore)} MB before, ${megabytes(report.peakAfter)} MB after`,
  )
}

function processCounts(): number[] {
  return [...new Set([1, cores])]
}

/** One row for each kind of request of a run; what is of the whole run stands in the first. */
function rowsOf(name: string, processes: number, { measurement, ...whole }: Run): string[][] {
  return Object.entries(measurement.requests).map(([request, { p50, p95, p99 }], i) => {
    const own = [request, ...[p50, p95, p99].map((ms) => ms.toFixed(1))]
    if (i > 0) return ['', '', '', ...own, '', '', '', '']
    const hashing = `${(whole.hashing * 100).toFixed(0)} %`
    const memory = megabytes(whole.residentBytes)
    const strangers = measurement.strangersCores.toFixed(2)
    return [
      name,
      String(processes),
      whole.perSecond.toFixed(0),
      ...own,
      whole.cpuMs.toFixed(2),
      hashing,
      memory,
      strangers,
    ]
  })
}

function microseconds(ms: number): string {
  return (ms * 1000).toFixed(0)
}
