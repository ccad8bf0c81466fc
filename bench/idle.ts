import { randomBytes } from 'node:crypto'
import { loadavg } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import { uniqueName } from '../test/helpers/unique-name.ts'
import { sharedUrl } from '../test/servers/shared.ts'
import { describeMachine } from './machine.ts'
import { costOf } from './process-cost.ts'
import { type Bench, type Party, untilReady, withBench } from './processes.ts'
import { median, megabytes, say, table } from './report.ts'

// What issuer and sidecar cost while nothing happens, and how long they take to start, on real servers.
// npm run bench:idle

const STARTS = 5
const SETTLE_S = 30
const OBSERVE_S = 20

type Env = Record<string, string>

interface Variant {
  name: string
  role: 'issuer' | 'sidecar'
  env: Env
  /** The folder of its compile cache: warm after the first start that has ended in good order. */
  cache: string
}

/** Milliseconds since the process was spawned. */
interface Start {
  listening: number
  ready: number
}

await withBench(async (bench) => {
  say(`machine: ${describeMachine()}`)
  say('starting MongoDB, Redis and Kafka')
  const [mongo, redis, kafka] = await Promise.all([sharedUrl('mongo'), sharedUrl('redis'), sharedUrl('kafka')])
  const shared = sharedSettings(kafka)
  const node = median(await repeated(STARTS, () => bareNode(bench)))
  say(`starting each ${STARTS + 1} times, the first with an empty compile cache`)
  const issuer: Variant = {
    name: 'issuer',
    role: 'issuer',
    env: { ...shared, ...issuerSettings(mongo, redis) },
    cache: bench.folder(),
  }
  const startRows = [await starts(bench, issuer)]
  const idle = [(await startReady(bench, issuer)).party]
  const sidecars = sidecarVariants(bench, shared, idle[0]!)
  for (const sidecar of sidecars) startRows.push(await starts(bench, sidecar))

  say(`leaving all alone for ${SETTLE_S} s, then watching for ${OBSERVE_S} s`)
  for (const sidecar of sidecars) idle.push((await startReady(bench, sidecar)).party)
  const idleRows = await observe(idle)

  const head = [
    '',
    'ready ms',
    'best',
    'listening ms',
    'then ready ms',
    'ready ms, cold cache',
    'idle CPU ms/s',
    'idle MB',
    'private MB',
  ]
  say(`\n${table([head, ...[issuer, ...sidecars].map(({ name }, i) => [name, ...startRows[i]!, ...idleRows[i]!])])}`)
  say(
    `\nready: from the spawn to /readyz 200, the median of ${STARTS} starts; listening: from the spawn until its ports ` +
      `are open (of this, Node by itself takes ${node.toFixed(0)} ms from the spawn to the end of an empty program); ` +
      'then ready: from there until keys and revocations are known; cold cache: the first start ever, which strips the ' +
      'types of every file; idle CPU: user and system time; MB: resident; private: of it what is not shared with other ' +
      `Node processes, as the program itself is. Load average ${loadavg()[0]!.toFixed(2)}`,
  )
})

function sharedSettings(kafka: string): Env {
  return {
    ISSUER_URL: 'http://issuer.example',
    KAFKA_BROKERS: kafka,
    KAFKA_TOPIC: `${uniqueName('idle')}.revocations`,
    FEED_TOKEN: randomBytes(32).toString('hex'),
  }
}

function issuerSettings(mongo: string, redis: string): Env {
  const name = uniqueName('idle')
  const database = new URL(mongo)
  database.pathname = `/${name}`
  return {
    ISSUER_PORT: '0',
    MONGO_URL: database.href,
    REDIS_URL: redis,
    REDIS_PREFIX: `${name}:`,
    MASTER_KEY: randomBytes(32).toString('hex'),
  }
}

function sidecarVariants(bench: Bench, shared: Env, issuer: Party): Variant[] {
  const { FEED_TOKEN, KAFKA_BROKERS, ...both } = {
    ...shared,
    ISSUER_INTERNAL_URL: issuer.url,
    SIDECAR_PORT: '0',
    SIDECAR_ADMIN_PORT: '0',
    UPSTREAM: 'http://127.0.0.1:1',
  } as Env
  const variants: [name: string, env: Env][] = [
    ['sidecar, Kafka and stream', { ...both, KAFKA_BROKERS: KAFKA_BROKERS!, FEED_TOKEN: FEED_TOKEN! }],
    ['sidecar, Kafka alone', { ...both, KAFKA_BROKERS: KAFKA_BROKERS! }],
    ['sidecar, stream alone', { ...both, FEED_TOKEN: FEED_TOKEN! }],
  ]
  return variants.map(([name, env]) => ({ name, role: 'sidecar', env, cache: bench.folder() }))
}

async function startReady(bench: Bench, { role, env, cache }: Variant): Promise<{ party: Party; start: Start }> {
  const begin = performance.now()
  // No keys from an earlier start: each is the first on its machine.
  const party = await bench.role(role, { ...env, DATA_DIR: bench.folder(), NODE_COMPILE_CACHE: cache })
  const listening = performance.now() - begin
  await untilReady(party)
  return { party, start: { listening, ready: performance.now() - begin } }
}

/** @returns the cells of a row */
async function starts(bench: Bench, variant: Variant): Promise<string[]> {
  const once = async () => {
    const { party, start } = await startReady(bench, variant)
    // In good order, for it is at its end that Node writes the compile cache.
    await party.process.kill('SIGTERM')
    return start
  }
  const cold = await once()
  const warm = await repeated(STARTS, once)
  const ready = warm.map((start) => start.ready)
  say(`  ${variant.name}: ${ready.map((ms) => ms.toFixed(0)).join(', ')} ms`)
  return [
    median(ready),
    Math.min(...ready),
    median(warm.map((start) => start.listening)),
    median(warm.map((start) => start.ready - start.listening)),
    cold.ready,
  ].map((ms) => ms.toFixed(0))
}

async function bareNode(bench: Bench): Promise<number> {
  const begin = performance.now()
  await bench.run('nothing', [])
  return performance.now() - begin
}

async function repeated<T>(times: number, once: () => Promise<T>): Promise<T[]> {
  const results: T[] = []
  while (results.length < times) results.push(await once())
  return results
}

/** @returns for each: CPU in ms a second, resident and private megabytes */
async function observe(parties: Party[]): Promise<string[][]> {
  await setTimeout(SETTLE_S * 1000)
  const before = parties.map(({ pid }) => costOf(pid))
  const begin = performance.now()
  await setTimeout(OBSERVE_S * 1000)
  const seconds = (performance.now() - begin) / 1000
  return parties.map(({ pid }, i) => {
    const { cpuS, residentBytes, privateBytes } = costOf(pid)
    const cpu = (((cpuS - before[i]!.cpuS) * 1000) / seconds).toFixed(1)
    return [cpu, megabytes(residentBytes), megabytes(privateBytes)]
  })
}
