import type { Bench, Party } from '../processes.ts'
import type { IssuerLoad, IssuerMeasurement } from '../programs/issuer-load.ts'
import type { Production } from './production.ts'
import { total } from './thread-cost.ts'
import type { WorkloadName } from './workloads.ts'

const IN_FLIGHT = 16
const DEADLINE_MS = 600_000

export interface Run {
  workload: WorkloadName
  measurement: IssuerMeasurement
  /** Requests of all kinds. */
  count: number
  perSecond: number
  /** What all issuers used for one request: ms. */
  cpuMs: number
  /** The share of that which the threads used that hash. */
  hashing: number
  residentBytes: number
  /** What each of the other processes, and the load generator at last, used for one request: ms. */
  othersMs: number[]
}

let runs = 0

/**
 * One workload on issuers that are running.
 * @param turns of the workload that count
 * @param warmUp turns before them
 */
export async function run(
  bench: Bench,
  production: Production,
  issuers: Party[],
  workload: WorkloadName,
  turns: number,
  warmUp = turns,
): Promise<Run> {
  const load: IssuerLoad = {
    workload,
    prefix: `run${runs++}`,
    urls: issuers.map(({ url }) => url),
    lanes: IN_FLIGHT,
    // Half of what a request costs at first is its compilation.
    warmUp,
    count: turns,
    issuerPids: issuers.map(({ pid }) => pid),
    otherPids: production.pids,
  }
  const measurement = JSON.parse(
    await bench.run('issuer-load', [JSON.stringify(load)], undefined, DEADLINE_MS),
  ) as IssuerMeasurement
  const count = sum(Object.values(measurement.requests).map((latency) => latency.count))
  const cpuS = sum(measurement.issuers.map(total))
  return {
    workload,
    measurement,
    count,
    perSecond: count / measurement.seconds,
    cpuMs: (cpuS / count) * 1000,
    hashing: sum(measurement.issuers.map(({ hashingS }) => hashingS)) / cpuS,
    residentBytes: sum(measurement.issuerResidentBytes),
    othersMs: [...measurement.others, measurement.loadS].map((s) => (s / count) * 1000),
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0)
}
