import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { issueTokens } from './issued-tokens.ts'
import { describeMachine, pin } from './machine.ts'
import { type Bench, type Party, untilReady, withBench } from './processes.ts'
import type { Load, Measurement } from './programs/load.ts'
import { median, megabytes, say, table } from './report.ts'

// What the sidecar costs: a service called directly, through the sidecar, and through a plain @fastify/http-proxy, in
// one run, on loopback, each a process of its own.
// npm run bench [-- --rounds 3 --seconds 4 --cpu-prof FOLDER]

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '4' },
    'cpu-prof': { type: 'string' },
  },
})
const CONNECTIONS = 64
const WARM_UP_S = 2
/** One request at a time: what a single client feels of the proxy when nobody waits for anybody. */
const SINGLE = { connections: 1, warmUpS: 0.2, durationS: 0.8 }
const TOKENS = 2000
const REVOKED = 10_000
const TOKEN_LIFETIME_S = 600
/** A measurement is taken again when other programs used more of the machine than this: cores. */
const TOLERATED_CORES = 0.15
const MAX_REPEATS = 2

interface Target {
  name: string
  url: string
  /** The process whose cost is asked for. */
  measured: Party
}

interface Round {
  perSecond: number
  p50: number
  p99: number
  single: number
  cpuUs: number
  upstreamUs: number
  coreShare: number
  residentBytes: number
  othersCores: number
}

await withBench(async (bench) => {
  say(`machine: ${describeMachine()}`)
  const { targets, upstream, tokensFile, issuer } = await startAll(bench)
  const cores = pinAll(targets, upstream, issuer)
  say(cores.text)

  const rounds = new Map<Target, Round[]>(targets.map((target) => [target, []]))
  let repeats = 0
  for (let n = 1; n <= Number(options.rounds); n++) {
    for (const target of targets) {
      const context = { bench, target, upstream, tokensFile, loadCore: cores.load }
      let round = await measure(context)
      while (round.othersCores > TOLERATED_CORES && repeats++ < MAX_REPEATS) {
        say(`  ${target.name}: again, for other programs used ${round.othersCores.toFixed(2)} cores meanwhile`)
        round = await measure(context)
      }
      rounds.get(target)!.push(round)
      say(
        `round ${n}  ${target.name.padEnd(20)} ${round.perSecond.toFixed(0).padStart(6)} requests/s, ` +
          `${round.cpuUs.toFixed(1)} µs of CPU a request; others used ${round.othersCores.toFixed(2)} cores`,
      )
    }
  }
  report([...rounds].map(([target, taken]) => [target.name, middle(taken)]))
  say(await tokenCache(targets[1]!.measured))
})

async function startAll(bench: Bench) {
  const masterKey = randomBytes(32).toString('hex')
  const feedToken = randomBytes(32).toString('hex')
  const issuerUrl = 'http://issuer.example'
  const folder = bench.folder()
  const tokens = await issueTokens(
    { folder, masterKey, issuer: issuerUrl, lifetimeS: TOKEN_LIFETIME_S },
    TOKENS,
    REVOKED,
  )
  const tokensFile = join(folder, 'tokens.json')
  writeFileSync(tokensFile, JSON.stringify(tokens), { mode: 0o600 })

  const shared = { ISSUER_URL: issuerUrl, FEED_TOKEN: feedToken }
  const [upstream, issuer] = await Promise.all([
    bench.program('upstream'),
    bench.role('issuer', { ...shared, ISSUER_PORT: '0', DATA_DIR: folder, MASTER_KEY: masterKey }),
  ])
  const profile = options['cpu-prof']
  const [sidecar, plain] = await Promise.all([
    bench.role(
      'sidecar',
      {
        ...shared,
        ISSUER_INTERNAL_URL: issuer.url,
        SIDECAR_PORT: '0',
        SIDECAR_ADMIN_PORT: '0',
        DATA_DIR: bench.folder(),
        UPSTREAM: upstream.url,
      },
      profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`],
    ),
    bench.program('plain-proxy', { UPSTREAM: upstream.url }),
  ])
  await untilReady(sidecar)
  await expectStatus(sidecar.url, 401)
  await expectStatus(sidecar.url, 200, tokens[0])
  const targets: Target[] = [
    { name: 'direct', url: upstream.url, measured: upstream },
    { name: 'sidecar', url: sidecar.url, measured: sidecar },
    { name: '@fastify/http-proxy', url: plain.url, measured: plain },
  ]
  say(
    `load: ${CONNECTIONS} connections, GET, ${TOKENS} ES256 tokens in turn, ${REVOKED} revoked sessions in the sidecar, ` +
      `${options.rounds} rounds of ${options.seconds} s each after ${WARM_UP_S} s of warm-up; the median counts`,
  )
  return { targets, upstream, tokensFile, issuer }
}

async function expectStatus(url: string, status: number, token?: string): Promise<void> {
  const response = await fetch(url, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } })
  await response.arrayBuffer()
  if (response.status !== status) throw new Error(`${url} answered ${response.status} instead of ${status}`)
}

/** Each proxy on a core of its own, load and service on the other; with three cores, the service on the third. */
function pinAll(targets: Target[], upstream: Party, issuer: Party): { load: number | undefined; text: string } {
  const count = availableParallelism()
  if (count < 2) return { load: undefined, text: 'pinned: nothing, there is one core' }
  const upstreamCore = count > 2 ? 2 : 0
  const proxies = targets.map(({ measured }) => measured).filter((party) => party !== upstream)
  const done = [
    pin(process.pid, 0),
    pin(issuer.pid, 0),
    pin(upstream.pid, upstreamCore),
    ...proxies.map(({ pid }) => pin(pid, 1)),
  ]
  if (done.includes(false)) return { load: undefined, text: 'pinned: nothing, taskset does not work here' }
  const shared = upstreamCore === 0 ? ', which bounds the requests/s of "direct" and may bound those of a proxy' : ''
  return {
    load: 0,
    text: `pinned: each proxy to core 1, the service to core ${upstreamCore}, the load and the issuer to core 0${shared}`,
  }
}

interface Context {
  bench: Bench
  target: Target
  upstream: Party
  tokensFile: string
  loadCore: number | undefined
}

async function measure({ bench, target, upstream, tokensFile, loadCore }: Context): Promise<Round> {
  const { url, measured } = target
  const take = async (load: Pick<Load, 'connections' | 'warmUpS' | 'durationS'>) => {
    const started = (pid: number) => void (loadCore !== undefined && pin(pid, loadCore))
    const pids = [...new Set([measured.pid, upstream.pid])]
    const text = await bench.run('load', [JSON.stringify({ url, tokensFile, pids, ...load } satisfies Load)], started)
    const taken = JSON.parse(text) as Measurement
    if (taken.failures > 0) throw new Error(`${target.name}: ${taken.failures} of ${taken.requests} requests failed`)
    return taken
  }
  const loaded = await take({ connections: CONNECTIONS, warmUpS: WARM_UP_S, durationS: Number(options.seconds) })
  const single = await take(SINGLE)
  const { requests, seconds, latencyMs, cpuS, after } = loaded
  const microseconds = (cpu: number) => (cpu / requests) * 1e6
  return {
    perSecond: requests / seconds,
    p50: latencyMs.p50,
    p99: latencyMs.p99,
    single: single.latencyMs.p50,
    cpuUs: microseconds(cpuS[0]!),
    upstreamUs: microseconds(cpuS.at(-1)!),
    coreShare: cpuS[0]! / seconds,
    residentBytes: after[0]!.residentBytes,
    othersCores: loaded.othersCores,
  }
}

/** The median of each figure by itself. */
function middle(rounds: Round[]): Round {
  const of = (key: keyof Round) => median(rounds.map((round) => round[key]))
  return Object.fromEntries(
    (Object.keys(rounds[0]!) as (keyof Round)[]).map((key) => [key, of(key)]),
  ) as unknown as Round
}

function report(results: [name: string, result: Round][]): void {
  const [, direct] = results.find(([name]) => name === 'direct')!
  const [, plain] = results.find(([name]) => name === '@fastify/http-proxy')!
  const times = (value: number, base: number) => `${(value / base).toFixed(2)}x`
  const head = ['', 'requests/s', 'p50 ms', 'p99 ms', 'one at a time: p50 ms', 'CPU µs/request', 'its core busy', 'MB']
  const rows = results.map(([name, r]) => [
    name,
    r.perSecond.toFixed(0),
    r.p50.toFixed(2),
    r.p99.toFixed(2),
    r.single.toFixed(3),
    r.cpuUs.toFixed(1),
    `${(r.coreShare * 100).toFixed(0)} %`,
    megabytes(r.residentBytes),
  ])
  say(`\n${table([head, ...rows])}`)
  const ratios = results.map(([name, r]) => [
    name,
    times(r.perSecond, direct.perSecond),
    times(r.perSecond, plain.perSecond),
    times(r.single, direct.single),
    times(r.single, plain.single),
    times(r.cpuUs, plain.cpuUs),
    r.upstreamUs.toFixed(1),
  ])
  const ratioHead = [
    'ratios',
    'requests/s : direct',
    'requests/s : plain',
    'one at a time : direct',
    ': plain',
    'CPU : plain',
    'CPU µs of the service',
  ]
  say(`\n${table([ratioHead, ...ratios])}`)
}

/** Whether the tokens were found verified, as the sidecar itself counts it. */
async function tokenCache({ adminUrl }: Party): Promise<string> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text()
  const value = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1])
  const [hits, misses] = [value('sidecar_token_cache_hits'), value('sidecar_token_cache_misses')]
  return `\ntokens: ${misses} verified anew, ${hits} found in the cache (${((100 * hits) / (hits + misses)).toFixed(2)} %)`
}
