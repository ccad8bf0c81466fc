import { readFileSync } from 'node:fs'
import type { Bench } from '../processes.ts'
import type { LoginStorm, StormMeasurement } from '../programs/login-storm.ts'
import type { SteadyMeasurement, SteadyRefresh } from '../programs/steady-refresh.ts'
import type { Env, Production } from './production.ts'

const REFRESHES_PER_S = 200
const WARM_UP_S = 5
/** Between the beginning of the storm and the beginning of what counts: the queue fills up. */
const RISE_S = 2

export interface StormReport {
  atRest: SteadyMeasurement
  during: SteadyMeasurement
  storm: StormMeasurement
  stormPerSecond: number
  /** The most the issuer ever held, before the storm and after: bytes. */
  peakBefore: number
  peakAfter: number
}

/**
 * Refreshes at a steady rate, at rest and then while many times as many logins come as can be hashed.
 * @param stormPerSecond logins
 * @param seconds how long each of the two is measured
 */
export async function measureStorm(
  bench: Bench,
  production: Production,
  { stormPerSecond, seconds, env }: { stormPerSecond: number; seconds: number; env: Env },
): Promise<StormReport> {
  const [issuer] = await production.issuers('storm', 1, env)
  const urls = [issuer!.url]
  const phases = [WARM_UP_S, seconds, RISE_S, seconds]
  const steady = bench.start('steady-refresh', {
    prefix: 'storm',
    urls,
    perSecond: REFRESHES_PER_S,
    phases,
  } satisfies SteadyRefresh)
  await steady.waitForLine(/^phase 2$/, (WARM_UP_S + seconds + 60) * 1000)
  const peakBefore = peakBytes(issuer!.pid)
  const storm = bench.start('login-storm', {
    prefix: 'storm',
    urls,
    perSecond: stormPerSecond,
    // It begins when its users are registered, and may not end too soon.
    seconds: seconds + 2 * RISE_S,
  } satisfies LoginStorm)
  const [steadyText, stormText] = await Promise.all([lastLine(steady), lastLine(storm)])
  const [, atRest, , during] = JSON.parse(steadyText) as SteadyMeasurement[]
  return {
    atRest: atRest!,
    during: during!,
    storm: JSON.parse(stormText) as StormMeasurement,
    stormPerSecond,
    peakBefore,
    peakAfter: peakBytes(issuer!.pid),
  }
}

type Started = ReturnType<Bench['start']>

async function lastLine(program: Started): Promise<string> {
  const { code } = await program.waitForExit(120_000)
  if (code !== 0) throw new Error(program.stderr())
  return program.stdout().trimEnd().split('\n').at(-1)!
}

function peakBytes(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
}
