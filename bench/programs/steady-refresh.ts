import { openConnection } from '../issuer/connection.ts'
import { runOpenLoop } from '../issuer/open-loop.ts'
import { login, refresh, register } from '../issuer/workloads.ts'
import { type Latency, latencyOf } from '../report.ts'

// Refreshes at a steady rate through several phases, in a process of its own; prints `phase N` when each begins and at
// the end a SteadyMeasurement of each, as a line of JSON.

export interface SteadyRefresh {
  prefix: string
  urls: string[]
  perSecond: number
  /** How long each phase takes: seconds. */
  phases: number[]
}

export interface SteadyMeasurement {
  /** From when a request was due to its answer. */
  refresh: Latency
  failed: number
  unsent: number
}

const SESSIONS = 64
const USERS = 8

const steady = JSON.parse(process.argv[2]!) as SteadyRefresh
const clients = await Promise.all(
  Array.from({ length: SESSIONS }, async (_, i) => ({
    connection: await openConnection(steady.urls[i % steady.urls.length]!),
    token: '',
  })),
)
for (const [i, client] of clients.entries()) {
  const email = `${steady.prefix}-steady${i % USERS}@example.com`
  await register(client.connection, email, [201, 409])
  client.token = await login(client.connection, email)
}
const measurements: SteadyMeasurement[] = []
for (const [phase, seconds] of steady.phases.entries()) {
  process.stdout.write(`phase ${phase}\n`)
  const latencies: number[] = []
  let failed = 0
  const { unsent } = await runOpenLoop({
    perSecond: steady.perSecond,
    seconds,
    clients,
    async send(client, dueMs) {
      try {
        client.token = await refresh(client.connection, client.token)
        latencies.push(performance.now() - dueMs)
      } catch {
        failed++
      }
    },
  })
  measurements.push({ refresh: latencyOf(latencies), failed, unsent })
}
for (const { connection } of clients) connection.close()
process.stdout.write(`${JSON.stringify(measurements)}\n`)
