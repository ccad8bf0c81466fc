import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { CASES, compute, LOAD, UNITS } from './scaling-formulas.ts'

// The tables of docs/scaling.md.
// node test/docs/scaling-tables.ts                             writes them into the page
// node test/docs/scaling-tables.ts --users 5000000 --sidecars 300 [--activeShare 0.3 …]   prints them for other numbers

const PAGE = fileURLToPath(new URL('../../docs/scaling.md', import.meta.url))

type Computed = ReturnType<typeof compute>

/** To two significant digits, whole from 10 on; thousands separated. */
export function figure(value: number): string {
  const rounded = Number(value.toPrecision(2))
  return rounded >= 10 ? rounded.toLocaleString('en-US') : String(rounded)
}

/** Bytes in the unit that fits. */
export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
  const step = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(value, 1)) / 3)))
  return `${figure(value / 1000 ** step)} ${units[step]}`
}

const spent = ({ workS, networkS }: Computed['storm']['issuer']) => `${figure(workS)} s, ${figure(networkS)} s`
const exactly = (value: number) => value.toLocaleString('en-US')

type Row = [name: string, cell: (computed: Computed) => string]

const ROWS: Record<string, Row[]> = {
  load: [
    ['refreshes a second', (c) => figure(c.refreshes)],
    ['logins a second', (c) => figure(c.logins)],
    ['revocations a second', (c) => figure(c.logouts)],
    ['live revocations', (c) => figure(c.live)],
  ],
  issuers: [
    ['cores for refreshes', (c) => figure(c.refreshCores)],
    ['cores for logins', (c) => figure(c.loginCores)],
    ['issuers, one core each', (c) => exactly(c.issuers)],
  ],
  sidecar: [
    ['list of revocations', (c) => bytes(c.sidecar.listBytes)],
    ['CPU ms/s for the heartbeats’ signatures', (c) => figure(c.sidecar.heartbeatMs)],
    ['CPU ms/s for all that comes by Kafka', (c) => figure(c.sidecar.kafkaMs)],
  ],
  redis: [
    ['live sessions', (c) => figure(c.redis.sessions)],
    ['memory as Redis is by default', (c) => bytes(c.redis.bytes)],
    ['memory with `hash-max-listpack-value 256`', (c) => bytes(c.redis.compactBytes)],
    ['commands a second', (c) => figure(c.redis.ops)],
    ['cores of Redis', (c) => figure(c.redis.cores)],
  ],
  mongo: [
    ['users, documents', (c) => bytes(c.mongo.userBytes)],
    ['users, indexes', (c) => bytes(c.mongo.userIndexBytes)],
    ['ledger, entries', (c) => figure(c.mongo.ledgerEntries)],
    ['ledger, documents and indexes', (c) => bytes(c.mongo.ledgerBytes)],
    ['linearizable reads a second', (c) => figure(c.mongo.reads)],
    ['majority writes a second', (c) => figure(c.mongo.writes)],
  ],
  kafka: [
    ['TCP connections', (c) => exactly(c.kafka.connections)],
    ['to one sidecar', (c) => `${bytes(c.kafka.bytesEach)}/s`],
    ['to all', (c) => `${bytes(c.kafka.bytes)}/s`],
    ['fetches a second at most', (c) => figure(c.kafka.events)],
    ['cores of the brokers', (c) => figure(c.kafka.brokerCores)],
    ['sidecars that one broker serves', (c) => figure(c.kafka.sidecarsABroker)],
    ['the whole log', (c) => bytes(c.kafka.logBytes)],
    ['all sidecars read it anew', (c) => bytes(c.kafka.logBytes * c.sidecars)],
  ],
  relays: [
    ['relays, one of them to spare', (c) => exactly(c.relays.count)],
    ['CPU ms/s of each', (c) => figure(c.relays.cpuMs)],
    ['memory of each', (c) => bytes(c.relays.MB * 1e6)],
    ['sent by each', (c) => `${bytes(c.relays.bytes)}/s`],
    ['read from MongoDB by all, documents a second', (c) => figure(c.relays.documents)],
    ['majority writes a second by all', (c) => exactly(c.relays.beats)],
  ],
  storm: [
    ['sent', (c) => bytes(c.storm.bytes)],
    ['documents read from MongoDB', (c) => figure(c.storm.documents)],
    ['each of the issuers: work, network', (c) => spent(c.storm.issuer)],
    ['sidecars that the issuers serve in time', (c) => figure(c.storm.sidecarsInTime)],
    ['each of the relays: work, network', (c) => spent(c.storm.relay)],
    ['each other relay when one ends', (c) => spent(c.storm.oneRelay)],
  ],
  pods: [
    ['a sidecar in each Pod: resident, as each counts it', (c) => bytes(c.pods.MB * 1e6)],
    ['the same, the program counted once a node', (c) => bytes(c.pods.privateMB * 1e6)],
    ['cores, idle', (c) => figure(c.pods.cores)],
    ['one for each node: nodes', (c) => exactly(c.pods.nodes)],
    ['resident', (c) => bytes(c.pods.nodeMB * 1e6)],
    ['cores, idle', (c) => figure(c.pods.nodeCores)],
  ],
}

/** The tables as Markdown, by name. */
export function tables(cases = CASES, load = LOAD): Map<string, string> {
  const computed = cases.map((each) => compute(each, load))
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const head = cases.map(({ users, sidecars }) => `${exactly(users)} users, ${exactly(sidecars)} sidecars`)
  const result = new Map(
    Object.entries(ROWS).map(([name, rows]) => {
      const body = rows.map(([title, cell]) => line([title, ...computed.map(cell)]))
      return [name, [line(['', ...head]), line(['---', ...cases.map(() => '---:')]), ...body].join('\n')]
    }),
  )
  const constants = (values: Record<string, number>) =>
    [
      line(['name', 'value']),
      line(['---', '---:']),
      ...Object.entries(values).map(([n, v]) => line([`\`${n}\``, String(v)])),
    ].join('\n')
  return result.set('assumed', constants(load)).set('measured', constants(UNITS)).set('heartbeats', heartbeats(load))
}

/** What issuers alone cost every sidecar, by their number. */
function heartbeats(load: typeof LOAD): string {
  const rows = [3, 10, 20, 50].map((issuers) => {
    const rate = issuers / load.heartbeatS
    const cells = [
      exactly(issuers),
      figure((rate * UNITS.verifyUs) / 1000),
      figure((rate * UNITS.kafkaEventUs) / 1000),
      `${bytes(rate * UNITS.heartbeatB)}/s`,
      `${bytes(10_000 * rate * UNITS.heartbeatB)}/s`,
      figure(10_000 * rate),
    ]
    return `| ${cells.join(' | ')} |`
  })
  const head = '| issuers | signatures, ms/s | all by Kafka, ms/s | to one sidecar | to 10,000 | fetches/s of 10,000 |'
  return [head, '| --- | ---: | ---: | ---: | ---: | ---: |', ...rows].join('\n')
}

/** The page with its tables as they are computed. */
export function withTables(page: string): string {
  let text = page
  for (const [name, table] of tables()) {
    text = text.replace(
      new RegExp(`(<!-- ${name} -->\\n)[\\s\\S]*?(<!-- /${name} -->)`),
      (_, begin, end) => `${begin}${table}\n${end}`,
    )
  }
  return text
}

if (import.meta.main) {
  const names = ['users', 'sidecars', ...Object.keys(LOAD)]
  const { values } = parseArgs({
    options: Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])),
  })
  const given = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value)]))
  if (Object.keys(given).length === 0) writeFileSync(PAGE, withTables(readFileSync(PAGE, 'utf8')))
  else {
    const { users, sidecars, ...load } = given
    const cases = users || sidecars ? [{ users: users ?? 1e6, sidecars: sidecars ?? 100 }] : CASES
    for (const [name, table] of tables(cases, { ...LOAD, ...load })) console.log(`${name}\n${table}\n`)
  }
}
