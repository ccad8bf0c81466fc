import { openConnection } from '../issuer/connection.ts'
import { runOpenLoop } from '../issuer/open-loop.ts'
import { PASSWORD, register } from '../issuer/workloads.ts'
import { type Latency, latencyOf } from '../report.ts'

// Everybody logs in at once, with the right password and each from a network of their own; in a process of its own,
// which prints a StormMeasurement as a line of JSON.

export interface LoginStorm {
  prefix: string
  urls: string[]
  perSecond: number
  seconds: number
}

export interface StormMeasurement {
  sent: number
  unsent: number
  /** How many of each status, and how long they took. */
  answers: Record<string, Latency>
}

const USERS = 64
const CONNECTIONS = 512

const storm = JSON.parse(process.argv[2]!) as LoginStorm
const emailOf = (i: number) => `${storm.prefix}-storm${i % USERS}@example.com`
const first = await openConnection(storm.urls[0]!)
for (let i = 0; i < USERS; i++) await register(first, emailOf(i), [201, 409])
first.close()
// Only now: a connection that asks for nothing is closed after a while.
const connections = await Promise.all(
  Array.from({ length: CONNECTIONS }, (_, i) => openConnection(storm.urls[i % storm.urls.length]!)),
)
process.stdout.write('ready\n')

const taken: Record<string, number[]> = {}
let turn = 0
const { sent, unsent } = await runOpenLoop({
  ...storm,
  clients: connections,
  async send(connection, dueMs) {
    const i = turn++
    const from = `X-Forwarded-For: 10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}\r\n`
    const json = { email: emailOf(i), password: PASSWORD, transport: 'body' }
    const { status } = await connection.post('/auth/login', json, from)
    taken[status] ??= []
    taken[status].push(performance.now() - dueMs)
  },
})
for (const connection of connections) connection.close()
const answers = Object.fromEntries(Object.entries(taken).map(([status, ms]) => [status, latencyOf(ms)]))
const measurement: StormMeasurement = { sent, unsent, answers }
process.stdout.write(`${JSON.stringify(measurement)}\n`)
