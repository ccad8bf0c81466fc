import { type Connection, openConnection } from '../issuer/connection.ts'
import { minus, type ThreadCost, threadCostOf } from '../issuer/thread-cost.ts'
import { createWorkload, type WorkloadName } from '../issuer/workloads.ts'
import { busyS } from '../machine.ts'
import { costOf } from '../process-cost.ts'
import { type Latency, latencyOf } from '../report.ts'

// One workload on one or more issuers, in a process of its own; prints its Measurement as a line of JSON.

export interface IssuerLoad {
  workload: WorkloadName
  /** Every user's name begins with it. */
  prefix: string
  /** The issuers; lanes take them in turn. */
  urls: string[]
  lanes: number
  /** Turns before those that count, and those that do. */
  warmUp: number
  count: number
  issuerPids: number[]
  /** Other processes whose CPU time is taken: Redis, MongoDB, Kafka. */
  otherPids: number[]
}

export interface IssuerMeasurement {
  seconds: number
  /** Of each kind of request. */
  requests: Record<string, Latency>
  /** What each issuer used. */
  issuers: ThreadCost[]
  issuerResidentBytes: number[]
  /** What each of the other processes used, in their order: seconds. */
  others: number[]
  /** What the load generator used: seconds. */
  loadS: number
  /** What programs that have nothing to do with this used meanwhile: cores. */
  strangersCores: number
}

const load = JSON.parse(process.argv[2]!) as IssuerLoad
const { prepare, turn } = createWorkload(load.workload, load.prefix)
const urlOf = (lane: number) => load.urls[lane % load.urls.length]!
const lanes = await Promise.all(Array.from({ length: load.lanes }, (_, lane) => openConnection(urlOf(lane))))
for (const [lane, connection] of lanes.entries()) await prepare(connection, lane, () => {})
await inAllLanes(load.warmUp, () => {})

const taken: Record<string, number[]> = {}
const issuersBefore = load.issuerPids.map(threadCostOf)
const othersBefore = load.otherPids.map((pid) => costOf(pid).cpuS)
const [busyBefore, ownBefore, begin] = [busyS(), process.cpuUsage(), performance.now()]
await inAllLanes(load.count, (name, ms) => {
  taken[name] ??= []
  taken[name].push(ms)
})
const seconds = (performance.now() - begin) / 1000
const own = process.cpuUsage(ownBefore)
const loadS = (own.user + own.system) / 1e6
const issuers = load.issuerPids.map((pid, i) => minus(threadCostOf(pid), issuersBefore[i]!))
const others = load.otherPids.map((pid, i) => costOf(pid).cpuS - othersBefore[i]!)
const oursS = loadS + sum(others) + sum(issuers.flatMap((cost) => Object.values(cost)))
const measurement: IssuerMeasurement = {
  seconds,
  requests: Object.fromEntries(Object.entries(taken).map(([name, ms]) => [name, latencyOf(ms)])),
  issuers,
  issuerResidentBytes: load.issuerPids.map((pid) => costOf(pid).residentBytes),
  others,
  loadS,
  strangersCores: Math.max(0, busyS() - busyBefore - oursS) / seconds,
}
for (const connection of lanes) connection.close()
process.stdout.write(`${JSON.stringify(measurement)}\n`)

async function inAllLanes(count: number, note: (name: string, ms: number) => void): Promise<void> {
  let begun = 0
  const run = async (connection: Connection, lane: number) => {
    while (begun++ < count) await turn(connection, lane, note)
  }
  await Promise.all(lanes.map(run))
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
