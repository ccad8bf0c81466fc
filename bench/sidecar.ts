import { availableParallelism, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { describeMachine, pin } from './machine.ts'
import { metricOf, withBench } from './processes.ts'
import { megabytes, say, table } from './report.ts'
import { checkAtWork } from './sidecar/at-work.ts'
import { CONNECTIONS, isQuiet, measure, type Round, summarize, WARM_UP_S } from './sidecar/measure.ts'
import { type Parties, PLAIN, startParties, type Target } from './sidecar/parties.ts'
import { drawResults, keepResults, type Result } from './sidecar/results.ts'

// What the sidecar costs, beside a service called directly, a plain @fastify/http-proxy, HAProxy and Envoy, in one run on
// loopback, each a process of its own.
// npm run bench:sidecar [-- --quick | --rounds 3 --seconds 2 --within 450 --only sidecar --node-args '--cpu-prof']
// `--within`: how long all of it may take, in seconds; what other programs disturbed is measured again until then.
// `--only`: rows whose name has one of these, separated by `|`, in it. `--node-args`: options of Node for the sidecars.
// `--quick` measures each once and keeps nothing; `--draw` draws the chart again from the figures that were kept.

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    draw: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    within: { type: 'string', default: '450' },
    only: { type: 'string', default: '' },
    'node-args': { type: 'string', default: '' },
  },
})
const ROUNDS = Number(options.rounds ?? (options.quick ? 1 : 3))
const SECONDS = Number(options.seconds ?? (options.quick ? 1 : 2))
const SIZES = { revoked: 10_000, tokens: 2000, manyTokens: 100_000 }
/** How long the last measurement and the end take: seconds. */
const LAST_S = 10

/** What the sidecar aims at: its cost, times that of a peer. */
const AIMS = [
  ['sidecar, RS256', 'HAProxy, RS256', 0.9],
  ['sidecar, ES256', 'Envoy, ES256, cache', 1],
  ['sidecar, RS256', 'Envoy, RS256, cache', 1],
  ['sidecar, ES256, no cache', 'HAProxy, ES256', 1],
] as const

if (options.draw) say(drawResults())
else await withBench(run)

async function run(bench: Parameters<Parameters<typeof withBench>[0]>[0]): Promise<void> {
  const begin = performance.now()
  const machine = describeMachine()
  say(`machine: ${machine}`)
  const parties = await startParties(bench, SIZES, options['node-args'].split(' ').filter(Boolean))
  const targets = parties.targets.filter(({ name }) => options.only.split('|').some((part) => name.includes(part)))
  for (const target of targets) await checkAtWork(target)
  say(
    `at work, as far as ${targets.length} good and bad tokens each show: ${targets.map(({ name }) => name).join('; ')}`,
  )
  const cores = pinAll(parties)
  const load =
    `${CONNECTIONS} connections, GET, ${SIZES.tokens} tokens in turn, ${SIZES.revoked} revoked sessions in each sidecar; ` +
    `median of ${ROUNDS} × ${SECONDS} s`
  say(`load: ${load}, each after ${WARM_UP_S} s of warm-up, all parties in turn`)
  say(`pinned: ${cores.text}`)

  const rounds = new Map<Target, Round[]>(targets.map((target) => [target, []]))
  const isDone = (target: Target) => rounds.get(target)!.filter(isQuiet).length >= ROUNDS
  const isOver = () => performance.now() - begin > (Number(options.within) - LAST_S) * 1000
  const everyRound = () => Math.min(...[...rounds.values()].map(({ length }) => length))
  const mayEnd = () => isOver() || (options.quick && everyRound() >= ROUNDS)
  const context = { bench, upstream: parties.upstream, loadCore: cores.load, seconds: SECONDS }
  while (!targets.every(isDone) && !mayEnd()) {
    for (const target of targets.filter((target) => !isDone(target))) {
      // Whatever the time: a row without a figure would be of no use.
      if (isOver() && rounds.get(target)!.length > 0) continue
      const round = await measure(context, target)
      rounds.get(target)!.push(round)
      say(
        `${target.name.padEnd(28)} ${round.perSecond.toFixed(0).padStart(6)} requests/s, ${round.cpuUs.toFixed(1)} µs of ` +
          `CPU a request${isQuiet(round) ? '' : `; disturbed: others used ${round.othersCores.toFixed(2)} cores`}`,
      )
    }
  }
  const results = [...rounds].map(([{ name, group }, taken]): Result => ({ name, group, ...summarize(taken) }))
  report(results)
  if (parties.missing.length > 0) say(`\nleft out, for it can't be had here: ${parties.missing.join(', ')}`)
  for (const line of await tokenCaches(targets)) say(line)
  if (!options.quick && options.only === '') {
    // A figure that somebody disturbed is no one's cost.
    const comparable = results.every(({ quiet }) => quiet > 0)
    say(comparable ? `kept: ${keepResults({ machine, load, pinned: cores.text, results })}` : 'not kept')
  }
  say(`load average at the end: ${loadavg()[0]!.toFixed(2)}`)
}

/** Each proxy on a core of its own, load and service on the other; with three cores, the service on the third. */
function pinAll({ targets, upstream, issuers }: Parties): { load: number | undefined; text: string } {
  const count = availableParallelism()
  if (count < 2) return { load: undefined, text: 'nothing, there is one core' }
  const upstreamCore = count > 2 ? 2 : 0
  const proxies = new Set(targets.map(({ pid }) => pid).filter((pid) => pid !== upstream.pid))
  const done = [
    pin(process.pid, 0),
    pin(upstream.pid, upstreamCore),
    ...issuers.map(({ pid }) => pin(pid, 0)),
    ...[...proxies].map((pid) => pin(pid, 1)),
  ]
  if (done.includes(false)) return { load: undefined, text: 'nothing, taskset does not work here' }
  const shared = upstreamCore === 0 ? ', which bounds the requests/s of "direct" and of the fastest proxies' : ''
  return {
    load: 0,
    text: `each proxy to core 1, the service to core ${upstreamCore}, load and issuers to core 0${shared}`,
  }
}

function report(results: Result[]): void {
  const find = (name: string) => results.find((result) => result.name === name)
  const [direct, plain] = [find('direct'), find(PLAIN)]
  const against = (figure: keyof Round, r: Round, base: Round | undefined) =>
    base ? `${(r[figure] / base[figure]).toFixed(2)}x` : '-'
  const columns: [head: string, cell: (r: Result) => string][] = [
    ['', (r) => r.name],
    ['CPU µs/request', (r) => r.cpuUs.toFixed(1)],
    [':plain', (r) => against('cpuUs', r, plain)],
    ['requests/s', (r) => r.perSecond.toFixed(0)],
    [':direct', (r) => against('perSecond', r, direct)],
    ['p50 ms', (r) => r.p50.toFixed(2)],
    ['p99 ms', (r) => r.p99.toFixed(2)],
    ['alone p50 ms', (r) => r.single.toFixed(3)],
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
      "system time of all threads of the row's own process; service: the same of the service behind it; core busy: how " +
      "much of its core the row's own process used; MB: resident after the load; quiet of: measurements that count, of " +
      'those taken. A sidecar and an Envoy with a cache keep 10,000 tokens; no cache: each signature is checked anew\n',
  )
  for (const [name, peer, aim] of AIMS) {
    const [ours, theirs] = [find(name), find(peer)]
    if (ours && theirs) say(`${name} : ${peer} = ${against('cpuUs', ours, theirs)} of CPU (aim: at most ${aim})`)
  }
}

/** Whether tokens were found verified, as the sidecars themselves count it. */
async function tokenCaches(targets: Target[]): Promise<string[]> {
  const sidecars = new Map(targets.flatMap(({ adminUrl, name }) => (adminUrl ? [[adminUrl, name]] : [])))
  return Promise.all(
    [...sidecars].map(async ([adminUrl = '', name]) => {
      const checks = (result: string) => metricOf({ adminUrl }, `sidecar_token_checks_total{result="${result}"}`)
      const [hits, misses] = [await checks('hit'), await checks('miss')]
      const share = ((100 * hits) / (hits + misses)).toFixed(1)
      return `process of "${name}": ${misses} tokens verified anew, ${hits} found in the cache (${share} %)`
    }),
  )
}
