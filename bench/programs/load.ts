import { readFileSync } from 'node:fs'
import autocannon from 'autocannon'
import { busyS } from '../machine.ts'
import { type Cost, costOf } from '../process-cost.ts'
import { latencyOf } from '../report.ts'

// One load on one address, in a process of its own; prints its Measurement as a line of JSON.

export interface Load {
  url: string
  /** A file with access tokens, a JSON array; every connection sends its own part of them in turn, or the same as others if there are fewer. */
  tokensFile: string
  connections: number
  warmUpS: number
  durationS: number
  /** The processes whose CPU time is taken over the same time. */
  pids: number[]
}

export interface Measurement {
  requests: number
  seconds: number
  latencyMs: { p50: number; p99: number }
  /** Answers that were not 2xx, and requests without an answer. */
  failures: number
  /** What each process of `pids` used meanwhile, in their order. */
  cpuS: number[]
  after: Cost[]
  /** What all other programs of this machine used meanwhile: cores. */
  othersCores: number
}

const load = JSON.parse(process.argv[2]!) as Load
const tokens = JSON.parse(readFileSync(load.tokensFile, 'utf8')) as string[]

if (load.warmUpS > 0) await run(load.warmUpS, () => {})
const latencies: number[] = []
const before = load.pids.map(costOf)
const [busyBefore, ownBefore] = [busyS(), process.cpuUsage()]
const begin = performance.now()
const { requests, failures } = await run(load.durationS, (ms) => latencies.push(ms))
const seconds = (performance.now() - begin) / 1000
const after = load.pids.map(costOf)
const cpuS = after.map((cost, i) => cost.cpuS - before[i]!.cpuS)
const own = process.cpuUsage(ownBefore)
const oursS = (own.user + own.system) / 1e6 + cpuS.reduce((sum, s) => sum + s, 0)
const othersCores = Math.max(0, busyS() - busyBefore - oursS) / seconds
// autocannon's own percentiles are whole milliseconds.
const { p50, p99 } = latencyOf(latencies)
const measurement: Measurement = {
  requests,
  seconds,
  latencyMs: { p50, p99 },
  failures,
  cpuS,
  after,
  othersCores,
}
process.stdout.write(`${JSON.stringify(measurement)}\n`)

async function run(durationS: number, onLatency: (ms: number) => void) {
  let connection = 0
  const running = autocannon({
    url: load.url,
    connections: load.connections,
    duration: durationS,
    // It ends at the next sample, which by default is a second later at worst.
    sampleInt: 50,
    setupClient(client) {
      const place = connection++
      const count = Math.max(1, Math.ceil((tokens.length - place) / load.connections))
      const mine = Array.from({ length: count }, (_, n) => tokens[(place + n * load.connections) % tokens.length]!)
      client.setRequests(
        mine.map((token, i) => ({ method: 'GET', path: `/items/${i}`, headers: { authorization: `Bearer ${token}` } })),
      )
    },
  })
  running.on('response', (_client, _status, _bytes, ms) => onLatency(ms))
  const result = await running
  return { requests: result['2xx'], failures: result.non2xx + result.errors + result.timeouts }
}
