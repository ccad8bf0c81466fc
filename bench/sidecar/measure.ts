import { pin } from '../machine.ts'
import type { Bench, Party } from '../processes.ts'
import type { Load, Measurement } from '../programs/load.ts'
import { median } from '../report.ts'
import type { Target } from './parties.ts'

export const CONNECTIONS = 64
export const WARM_UP_S = 1.5
/** One request at a time: what a single client feels of the proxy when nobody waits for anybody. */
const SINGLE = { connections: 1, warmUpS: 0.2, durationS: 0.6 }
/** A measurement counts when other programs used no more of the machine meanwhile, idle parties among them: cores. */
const QUIET_CORES = 0.15

/** What one party did under load. */
export interface Round {
  perSecond: number
  /** Milliseconds. */
  p50: number
  p99: number
  /** The median with one request at a time: milliseconds. */
  single: number
  /** Of its own process, all threads, user and system time: microseconds a request. */
  cpuUs: number
  /** The same of the service behind it. */
  upstreamUs: number
  /** How much of its core it used, of 1. */
  coreShare: number
  residentBytes: number
  /** What all other programs used meanwhile: cores. */
  othersCores: number
}

export type Summary = Round & { quiet: number; disturbed: number }

export interface Context {
  bench: Bench
  upstream: Party
  /** Where the load generator runs. */
  loadCore: number | undefined
  /** How long a party is under load, after its warm-up: seconds. */
  seconds: number
}

/** @throws Error when a single request was not answered with 2xx */
export async function measure({ bench, upstream, loadCore, seconds }: Context, target: Target): Promise<Round> {
  const { name, url, pid, tokensFile } = target
  const take = async (load: Pick<Load, 'connections' | 'warmUpS' | 'durationS'>) => {
    const started = (pid: number) => void (loadCore !== undefined && pin(pid, loadCore))
    const pids = [...new Set([pid, upstream.pid])]
    const text = await bench.run('load', [JSON.stringify({ url, tokensFile, pids, ...load } satisfies Load)], started)
    const taken = JSON.parse(text) as Measurement
    if (taken.failures > 0) throw new Error(`${name}: ${taken.failures} of ${taken.requests} requests failed`)
    return taken
  }
  const loaded = await take({ connections: CONNECTIONS, warmUpS: WARM_UP_S, durationS: seconds })
  const single = await take(SINGLE)
  const microseconds = (cpuS: number) => (cpuS / loaded.requests) * 1e6
  return {
    perSecond: loaded.requests / loaded.seconds,
    p50: loaded.latencyMs.p50,
    p99: loaded.latencyMs.p99,
    single: single.latencyMs.p50,
    cpuUs: microseconds(loaded.cpuS[0]!),
    upstreamUs: microseconds(loaded.cpuS.at(-1)!),
    coreShare: loaded.cpuS[0]! / loaded.seconds,
    residentBytes: loaded.after[0]!.residentBytes,
    othersCores: loaded.othersCores,
  }
}

export function isQuiet({ othersCores }: Round): boolean {
  return othersCores <= QUIET_CORES
}

/** The median of each figure by itself, over the measurements that nobody disturbed; if there is none, over all. */
export function summarize(rounds: Round[]): Summary {
  const quiet = rounds.filter(isQuiet)
  const counted = quiet.length > 0 ? quiet : rounds
  const of = (figure: keyof Round) => median(counted.map((round) => round[figure]))
  const figures = Object.keys(rounds[0]!) as (keyof Round)[]
  const medians = Object.fromEntries(figures.map((figure) => [figure, of(figure)])) as unknown as Round
  return { ...medians, quiet: quiet.length, disturbed: rounds.length - quiet.length }
}
