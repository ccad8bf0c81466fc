import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { obtainTokens, recordLogouts } from './issued-tokens.ts'
import { describeMachine, pin } from './machine.ts'
import { type Bench, type Party, untilReady, withBench } from './processes.ts'
import type { Load, Measurement } from './programs/load.ts'
import { median, megabytes, say, table } from './report.ts'

// What the sidecar costs: a service called directly, through the sidecar, and through a plain @fastify/http-proxy, in
// one run, on loopback, each a process of its own.
// npm run bench [-- --rounds 3 --seconds 3 --within 88 --node-args '--cpu-prof']
// `--within`: how long all of it may take, in seconds; what other programs disturbed is measured again until then.
// `--node-args`: options of Node for the sidecar.

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    within: { type: 'string', default: '88' },
    'node-args': { type: 'string', default: '' },
  },
})
const CONNECTIONS = 64
const WARM_UP_S = 2
/** One request at a time: what a single client feels of the proxy when nobody waits for anybody. */
const SINGLE = { connections: 1, warmUpS: 0.2, durationS: 0.8 }
const TOKENS = 2000
const REVOKED = 10_000
/** Longer than the benchmark takes: seconds. */
const REVOKED_FOR_S = 600
/** A measurement counts when other programs used no more of the machine meanwhile: cores. */
const QUIET_CORES = 0.1
/** How long the last measurement and the end take: seconds. */
const LAST_S = 8

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
  const begin = performance.now()
  say(`machine: ${describeMachine()}`)
  const { targets, upstream, tokensFile, issuer } = await startAll(bench)
  const cores = pinAll(targets, upstream, issuer)
  say(cores.text)

  const rounds = new Map<Target, Round[]>(targets.map((target) => [target, []]))
  const isDone = (target: Target) => rounds.get(target)!.filter(isQuiet).length >= Number(options.rounds)
  const isOver = () => performance.now() - begin > (Number(options.within) - LAST_S) * 1000
  while (!targets.every(isDone) && !isOver()) {
    for (const target of targets.filter((target) => !isDone(target))) {
      if (isOver()) break
      const round = await measure({ bench, target, upstream, tokensFile, loadCore: cores.load })
      rounds.get(target)!.push(round)
      say(
        `${target.name.padEnd(20)} ${round.perSecond.toFixed(0).padStart(6)} requests/s, ${round.cpuUs.toFixed(1)} µs of ` +
          `CPU a request${isQuiet(round) ? '' : `; disturbed: others used ${round.othersCores.toFixed(2)} cores`}`,
      )
    }
  }
  report([...rounds].map(([target, taken]) => ({ name: target.name, ...summary(taken) })))
  say(await tokenCache(targets[1]!.measured))
  say(`load average at the end: ${loadavg()[0]!.toFixed(2)}`)
})

async function startAll(bench: Bench) {
  const folder = bench.folder()
  await recordLogouts(folder, REVOKED, REVOKED_FOR_S)
  const shared = { ISSUER_URL: 'http://issuer.example', FEED_TOKEN: randomBytes(32).toString('hex') }
  const [upstream, issuer] = await Promise.all([
    bench.program('upstream'),
    bench.role('issuer', { ...shared, ISSUER_PORT: '0', DATA_DIR: folder, RATE_LIMITS: 'off', LOGIN_THROTTLE: 'off' }),
  ])
  await untilReady(issuer)
  say(`getting ${TOKENS} access tokens from the issuer`)
  const tokens = await obtainTokens(issuer.url, TOKENS)
  const tokensFile = join(folder, 'tokens.json')
  writeFileSync(tokensFile, JSON.stringify(tokens), { mode: 0o600 })

  const sidecarSettings = {
    ...shared,
    ISSUER_INTERNAL_URL: issuer.url,
    SIDECAR_PORT: '0',
    SIDECAR_ADMIN_PORT: '0',
    DATA_DIR: bench.folder(),
    NODE_COMPILE_CACHE: bench.folder(),
    UPSTREAM: upstream.url,
  }
  const startSidecar = () => bench.role('sidecar', sidecarSettings, options['node-args'].split(' ').filter(Boolean))
  // Its compile cache is written when it ends; a sidecar of the image finds it warm, and takes less memory for it.
  await (await startSidecar()).process.kill('SIGTERM')
  const [sidecar, plain] = await Promise.all([startSidecar(), bench.program('plain-proxy', { UPSTREAM: upstream.url })])
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
      `the median of ${options.rounds} measurements of ${options.seconds} s, each after ${WARM_UP_S} s of warm-up, the three in turn`,
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

function isQuiet({ othersCores }: Round): boolean {
  return othersCores <= QUIET_CORES
}

type Summary = Round & { quiet: number; disturbed: number }

/** The median of each figure by itself, over the measurements that nobody disturbed; if there is none, over all. */
function summary(rounds: Round[]): Summary {
  const quiet = rounds.filter(isQuiet)
  const counted = quiet.length > 0 ? quiet : rounds
  const of = (figure: keyof Round) => median(counted.map((round) => round[figure]))
  const figures = Object.keys(rounds[0]!) as (keyof Round)[]
  const medians = Object.fromEntries(figures.map((figure) => [figure, of(figure)])) as unknown as Round
  return { ...medians, quiet: quiet.length, disturbed: rounds.length - quiet.length }
}

function report(results: (Summary & { name: string })[]): void {
  const [direct, , plain] = results as unknown as [Round, Round, Round]
  const against = (figure: keyof Round, r: Round, base: Round) => `${(r[figure] / base[figure]).toFixed(2)}x`
  const columns: [head: string, cell: (r: Summary & { name: string }) => string][] = [
    ['', (r) => r.name],
    ['requests/s', (r) => r.perSecond.toFixed(0)],
    [':direct', (r) => against('perSecond', r, direct)],
    [':plain', (r) => against('perSecond', r, plain)],
    ['p50 ms', (r) => r.p50.toFixed(2)],
    ['p99 ms', (r) => r.p99.toFixed(2)],
    ['alone p50 ms', (r) => r.single.toFixed(3)],
    [':direct', (r) => against('single', r, direct)],
    [':plain', (r) => against('single', r, plain)],
    ['CPU µs/request', (r) => r.cpuUs.toFixed(1)],
    [':plain', (r) => against('cpuUs', r, plain)],
    ['service µs', (r) => r.upstreamUs.toFixed(1)],
    ['core busy', (r) => `${(r.coreShare * 100).toFixed(0)} %`],
    ['MB', (r) => megabytes(r.residentBytes)],
    ['quiet of', (r) => `${r.quiet} of ${r.quiet + r.disturbed}`],
  ]
  say(`\n${table([columns.map(([head]) => head), ...results.map((r) => columns.map(([, cell]) => cell(r)))])}`)
  if (results.some(({ quiet }) => quiet === 0)) {
    say('\nnot comparable: other programs disturbed every measurement of a row; run it again on a quiet machine')
  }
  say(
    '\n:direct, :plain  times the figure before it of that row; alone: one request at a time, without load; CPU: user and ' +
      "system time of the row's own process; service: the same of the service behind it; core busy: how much of its core " +
      "the row's own process used; MB: resident after the load; quiet of: measurements that count, of those taken",
  )
}

/** Whether the tokens were found verified, as the sidecar itself counts it. */
async function tokenCache({ adminUrl }: Party): Promise<string> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text()
  const checks = (result: string) => {
    const count = new RegExp(`^sidecar_token_checks_total\\{result="${result}"\\} (\\d+)$`, 'm').exec(text)?.[1]
    if (count === undefined) throw new Error(`${adminUrl}/metrics has no count of token checks`)
    return Number(count)
  }
  const [hits, misses] = [checks('hit'), checks('miss')]
  return `\ntokens: ${misses} verified anew, ${hits} found in the cache (${((100 * hits) / (hits + misses)).toFixed(2)} %)`
}
