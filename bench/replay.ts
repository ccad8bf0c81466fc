import { randomBytes } from 'node:crypto'
import { loadavg } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { uniqueName } from '../test/helpers/unique-name.ts'
import { startKafka } from '../test/servers/kafka.ts'
import { describeMachine } from './machine.ts'
import { costOf } from './process-cost.ts'
import { type Bench, metricOf, type Party, readyWithin, withBench } from './processes.ts'
import { recordLogouts } from './recorded-logouts.ts'
import { megabytes, say, table } from './report.ts'

// How long a new sidecar takes to learn all that is revoked, from the real issuer and the real Kafka.
// npm run bench:replay [-- --entries 1000000 --kafka 200000]
// `--kafka 0` leaves out what needs Kafka.

const { values: options } = parseArgs({
  options: { entries: { type: 'string', default: '1000000' }, kafka: { type: 'string', default: '200000' } },
})
/** Longer than the benchmark takes: seconds. */
const REVOKED_FOR_S = 3600
/** For the issuer to publish, and for the sidecar to read: milliseconds. */
const DEADLINE_MS = 600_000

type Env = Record<string, string>

interface Spent {
  seconds: number
  cpuS: number
}

interface Replay {
  name: string
  entries: number
  ready: Spent
  allRead: Spent
  issuerCpuS: number
  residentBytes: number
}

await withBench(async (bench) => {
  say(`machine: ${describeMachine()}`)
  const fromKafkaToo = Number(options.kafka) > 0
  const rows = [
    ...(await fromIssuer(bench, Number(options.entries))),
    ...(fromKafkaToo ? await fromKafka(bench, Number(options.kafka)) : []),
  ]
  const head = ['', 'entries', 'ready s', 'CPU s', 'all read s', 'CPU s', 'µs an entry', "issuer's CPU s", 'MB']
  const cells = ({ name, entries, ready, allRead, issuerCpuS, residentBytes }: Replay) => [
    name,
    String(entries),
    ...[ready.seconds, ready.cpuS, allRead.seconds, allRead.cpuS].map((s) => s.toFixed(2)),
    ((allRead.cpuS / entries) * 1e6).toFixed(1),
    issuerCpuS.toFixed(2),
    megabytes(residentBytes),
  ]
  say(`\n${table([head, ...rows.map(cells)])}`)
  say(
    "\nready: from the start of the sidecar's process until its /readyz is 200, everything being known; all read: until " +
      'it has read the log in Kafka as well, if it has one; CPU: of its process in that time, its start included; ' +
      `MB: resident at the end. Load average ${loadavg()[0]!.toFixed(2)}`,
  )
})

async function fromIssuer(bench: Bench, entries: number): Promise<Replay[]> {
  const env = settings()
  const issuer = await startIssuer(bench, env, await ledgerOf(bench, entries))
  const sidecar = { ...env, ISSUER_INTERNAL_URL: issuer.url }
  return [
    await replay(bench, 'snapshot, first', entries, issuer, sidecar),
    await replay(bench, 'snapshot', entries, issuer, sidecar),
  ]
}

async function fromKafka(bench: Bench, entries: number): Promise<Replay[]> {
  const kafka = await startKafka()
  bench.onEnd(kafka.stop)
  const env = { ...settings(), KAFKA_BROKERS: kafka.url, KAFKA_TOPIC: `${uniqueName('replay')}.revocations` }
  const folder = await ledgerOf(bench, entries)
  say(`the issuer publishes ${entries} revocations to Kafka`)
  const begin = performance.now()
  const issuer = await startIssuer(bench, env, folder)
  // A new topic gets all that is live before the first heartbeat.
  if (!(await metricReaches(issuer, 'revocation_outbox_rounds_total{outcome="done"}', 1)))
    throw new Error('not in time')
  say(`that took ${((performance.now() - begin) / 1000).toFixed(1)} s`)
  const { FEED_TOKEN, ...both } = { ...env, ISSUER_INTERNAL_URL: issuer.url }
  return [
    await replay(bench, 'Kafka alone', entries, issuer, both),
    await replay(bench, 'Kafka and snapshot', entries, issuer, { ...both, FEED_TOKEN }),
  ]
}

function settings() {
  return { ISSUER_URL: 'http://issuer.example', FEED_TOKEN: randomBytes(32).toString('hex') }
}

async function ledgerOf(bench: Bench, entries: number): Promise<string> {
  const folder = bench.folder()
  say(`recording ${entries} revocations`)
  await recordLogouts(folder, entries, REVOKED_FOR_S)
  return folder
}

function startIssuer(bench: Bench, env: Env, folder: string): Promise<Party> {
  return bench.role('issuer', { ...env, ISSUER_PORT: '0', DATA_DIR: folder })
}

async function replay(bench: Bench, name: string, entries: number, issuer: Party, env: Env): Promise<Replay> {
  const before = costOf(issuer.pid).cpuS
  const begin = performance.now()
  const sidecar = await bench.role('sidecar', {
    ...env,
    SIDECAR_PORT: '0',
    SIDECAR_ADMIN_PORT: '0',
    DATA_DIR: bench.folder(),
    UPSTREAM: 'http://127.0.0.1:1',
  })
  const spent = (): Spent => ({ seconds: (performance.now() - begin) / 1000, cpuS: costOf(sidecar.pid).cpuS })
  await readyWithin(sidecar, DEADLINE_MS)
  const ready = spent()
  const complete =
    env.KAFKA_BROKERS === undefined || (await metricReaches(sidecar, 'revocation_feed_kafka_complete', 1))
  if (!complete) throw new Error(`${name}: the log was not read in time`)
  const allRead = spent()
  const { residentBytes } = costOf(sidecar.pid)
  const issuerCpuS = costOf(issuer.pid).cpuS - before
  const { session } = (await (await fetch(`${sidecar.adminUrl}/revocations`)).json()) as { session: number }
  if (session !== entries) throw new Error(`${name}: the sidecar knows ${session} of ${entries} revocations`)
  await sidecar.process.kill('SIGTERM')
  return { name, entries, ready, allRead, issuerCpuS, residentBytes }
}

/** @returns whether it did in time */
async function metricReaches(party: Party, sample: string, value: number): Promise<boolean> {
  const deadline = performance.now() + DEADLINE_MS
  while (performance.now() < deadline) {
    if ((await metricOf(party, sample).catch(() => 0)) >= value) return true
    await setTimeout(50)
  }
  return false
}
