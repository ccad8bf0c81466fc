import { randomBytes, randomUUID } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { hash } from '@node-rs/argon2'
import { Redis } from 'ioredis'
import { BSON } from 'mongodb'
import { createKafkaPublisher } from '../issuer/adapters/kafka-publisher.ts'
import { connectRedis } from '../issuer/adapters/redis/connect.ts'
import { createRedisCounts } from '../issuer/adapters/redis/counts.ts'
import { createRedisSessions } from '../issuer/adapters/redis/sessions.ts'
import type { Session } from '../issuer/domain/session.ts'
import type { User } from '../issuer/domain/user.ts'
import { createLifecycle, pause } from '../shared/lifecycle.ts'
import { createLog } from '../shared/log.ts'
import { partitionKey, type Revocation, revocationId } from '../shared/revocation.ts'
import { type SecurityEvent, signSecurityEvent } from '../shared/security-event.ts'
import { uniqueName } from '../test/helpers/unique-name.ts'
import { startKafka } from '../test/servers/kafka.ts'
import { startRedis } from '../test/servers/redis.ts'
import { describeMachine } from './machine.ts'
import { type Bench, untilReady, withBench } from './processes.ts'
import type { Connections, CountedSidecar } from './programs/counted-sidecar.ts'
import { say, table } from './report.ts'
import { createKey } from './sidecar/tokens.ts'

// What one of each takes in bytes, connections and requests: counts, not times, so that a loaded machine gives the same.
// npm run bench:units [-- --only events,documents,redis,kafka --brokers host:port,… --sessions 50000]
// `--brokers`: a Kafka of several brokers, to see how many of them a sidecar is connected to; by default one of its own.

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: 'events,documents,redis,kafka' },
    brokers: { type: 'string' },
    sessions: { type: 'string', default: '50000' },
  },
})
const ISSUER_URL = 'https://issuer.example.com'
const USER_AGENT =
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36'
const DAY_MS = 86_400_000
const SETTLE_S = 15
const OBSERVE_S = 20
/** Revocations a second while the bytes of one are measured. */
const RATE = 50

await withBench(async (bench) => {
  say(`machine: ${describeMachine()}`)
  const parts: Record<string, () => Promise<void>> = {
    events: async () => events(),
    documents,
    redis: () => redis(bench),
    kafka: () => kafka(bench),
  }
  for (const name of options.only.split(',')) await parts[name]!()
})

function newRevocation(): Extract<Revocation, { kind: 'session' }> {
  return { kind: 'session', sid: randomUUID(), sub: randomUUID(), exp: Math.floor(Date.now() / 1000) + 310 }
}

function events(): void {
  const nowMs = Date.now()
  const [session, sub, instance] = [newRevocation(), randomUUID(), randomUUID()]
  const kinds: [string, SecurityEvent][] = [
    ['a session ended', { type: 'revocation', revocation: session }],
    ['a user ended', { type: 'revocation', revocation: { kind: 'user', sub, epoch: 2, exp: session.exp } }],
    ['a heartbeat for Kafka', { type: 'heartbeat', instance, completeUntilMs: nowMs }],
    ["a heartbeat for an issuer's stream", { type: 'heartbeat', instance, completeUntilMs: nowMs, feed: 'stream' }],
  ]
  const context = { issuer: ISSUER_URL, audience: ['sallyport'], nowMs }
  const keys = [createKey('ES256').pair, createKey('RS256').pair]
  const rows = kinds.map(([name, event]) => [
    name,
    ...keys.map((key) => String(signSecurityEvent(key, event, context).length)),
  ])
  say(`\n${table([['one event: bytes', 'ES256', 'RS256'], ...rows])}`)
  const entries = JSON.stringify(Array.from({ length: 1000 }, newRevocation)).length / 1000
  say(`\none entry of a snapshot: ${entries.toFixed(0)} bytes`)
}

async function documents(): Promise<void> {
  const passwordHash = await hash('a long enough pass phrase', { algorithm: 2, memoryCost: 19_456, timeCost: 2 })
  const now = Date.now()
  const user: Omit<User, 'id'> = {
    email: 'first.lastname@mail.example.com',
    emailKey: 'first.lastname@mail.example.com',
    username: 'first.lastname',
    usernameKey: 'first.lastname',
    passwordHash,
    epoch: 0,
    roles: ['subscriber'],
    tier: 'free',
    isActive: true,
    isVerified: true,
    createdAt: now,
    updatedAt: now,
    lastLogin: now,
  }
  const revocation = newRevocation()
  const at = new Date()
  const kept = { revocation, keepUntil: at, at, published: true, publishedAt: at }
  // What an index holds of each: the key in WiredTiger's order-preserving form, about its text and two bytes, and where
  // the document is; before the compression of common prefixes. A number takes 9 bytes, a date 9, a truth value 1.
  const [text, record] = [(value: string) => value.length + 2, 5]
  const id = text(randomUUID())
  const newest = 9 + id + record
  const rows: [string, number, number][] = [
    [
      'users',
      BSON.calculateObjectSize({ _id: randomUUID(), ...user }),
      [
        id + record,
        text(user.emailKey) + record,
        text(user.usernameKey!) + record,
        newest,
        text('subscriber') + newest,
        text('free') + newest,
        1 + newest,
        1 + newest,
      ].reduce((sum, bytes) => sum + bytes, 0),
    ],
    [
      'ledger',
      BSON.calculateObjectSize({ _id: revocationId(revocation), ...kept }),
      // _id, at, revocation.exp, keepUntil; the two others hold what is unpublished.
      text(revocationId(revocation)) + record + 3 * (9 + record),
    ],
  ]
  const cells = rows.map(([name, bson, indexes]) => [name, String(bson), String(indexes)])
  say(`\n${table([['one document: bytes', 'BSON', 'in all indexes, computed'], ...cells])}`)
}

/** As Redis is by default, and with hashes kept compact whose longest value is a user agent. */
async function redis(bench: Bench): Promise<void> {
  await measureRedis(bench, 'by default', [])
  await measureRedis(bench, 'hash-max-listpack-value 256', ['--hash-max-listpack-value', '256'])
}

async function measureRedis(bench: Bench, name: string, args: string[]): Promise<void> {
  const server = await startRedis(args)
  bench.onEnd(server.stop)
  const connection = connectRedis(server.url, createLog('bench', 'error'))
  await connection.ready()
  const sessions = createRedisSessions(connection, 'sallyport:')
  const counts = createRedisCounts(connection, 'sallyport:')
  const plain = new Redis(server.url)
  const used = async () => Number(/^used_memory:(\d+)/m.exec(await plain.info('memory'))?.[1])
  const count = Number(options.sessions)
  const many = async (work: (i: number) => Promise<unknown>) => {
    const before = await used()
    for (let i = 0; i < count; i += 500) await Promise.all(Array.from({ length: 500 }, (_, n) => work(i + n)))
    return ((await used()) - before) / count
  }
  const users = Array.from({ length: count }, () => randomUUID())
  const sids: string[] = []
  const create = (i: number) => {
    const session = newSession(users[i]!)
    sids.push(session.sid)
    return sessions.create(session)
  }
  const first = await many(create)
  const second = await many(create)
  const hit = await many((i) => counts.hit(`refresh:session:${sids[i]}`, 600_000))
  const one = await plain.memory('USAGE', `sallyport:session:{${sids[0]}}`)
  const index = await plain.memory('USAGE', `sallyport:user:{${users[0]}}:sessions`)
  const rows = [
    ["a user's first session, with its index", first],
    ['each further one of that user', second],
    ['a count of a rate limit', hit],
  ] as const
  const cells = rows.map(([name, bytes]) => [name, bytes.toFixed(0)])
  say(`\n${table([[`Redis ${name}: used_memory over ${count}`, 'bytes'], ...cells])}`)
  say(`MEMORY USAGE of one session's hash: ${one}, of one user's index with two: ${index}`)
  plain.disconnect()
  connection.close()
}

function newSession(sub: string): Session {
  const now = Date.now()
  const nonceHash = randomBytes(32).toString('base64url')
  const [expiresAt, idleExpiresAt] = [now + 28 * DAY_MS, now + 14 * DAY_MS]
  const times = { createdAt: now, rotatedAt: now, expiresAt, idleExpiresAt }
  const client = { userAgent: USER_AGENT, address: '203.0.113.77', scope: null }
  return { sid: randomUUID(), sub, epoch: 0, generation: 0, nonceHash, ...times, ...client }
}

async function kafka(bench: Bench): Promise<void> {
  let brokers = options.brokers
  if (!brokers) {
    // As brokers are by default: a new group waits for more members.
    const server = await startKafka({ rebalanceDelay: 'default' })
    bench.onEnd(server.stop)
    brokers = server.url
  }
  const { pem, pair } = createKey('ES256')
  const feed = { KAFKA_BROKERS: brokers, KAFKA_TOPIC: `${uniqueName('units')}.revocations` }
  const FEED_TOKEN = randomBytes(32).toString('hex')
  const shared = { ...feed, ISSUER_URL, FEED_TOKEN }
  const issuer = await bench.role('issuer', {
    ...shared,
    ISSUER_PORT: '0',
    DATA_DIR: bench.folder(),
    SIGNING_KEY: pem,
  })
  await untilReady(issuer)
  const reading = bench.start('counted-sidecar', {
    env: {
      ...shared,
      ISSUER_INTERNAL_URL: issuer.url,
      SIDECAR_PORT: '0',
      SIDECAR_ADMIN_PORT: '0',
      DATA_DIR: bench.folder(),
      UPSTREAM: 'http://127.0.0.1:1',
      LOG_LEVEL: 'warn',
    },
  } satisfies CountedSidecar)
  await reading.waitForLine(/^ready$/, 60_000)
  const latest = () => {
    const lines = reading.stdout().split('\n')
    return JSON.parse(lines.findLast((line) => line.startsWith('{"byPort"') && line.endsWith('}'))!) as Connections
  }
  await setTimeout(SETTLE_S * 1000)
  const atRest = await between(latest)
  const lifecycle = createLifecycle(createLog('bench', 'error'))
  bench.onEnd(() => lifecycle.close())
  const address = { brokers: brokers.split(','), topic: feed.KAFKA_TOPIC, longestLifetimeS: () => 300 }
  const publisher = createKafkaPublisher(address, 'bench', createLog('bench', 'error'), lifecycle)
  while (!publisher.check().ok) await pause(20, lifecycle.signal)
  const timer = setInterval(() => {
    const revocation = newRevocation()
    const context = { issuer: ISSUER_URL, audience: ['sallyport'], nowMs: Date.now() }
    const token = signSecurityEvent(pair, { type: 'revocation', revocation }, context)
    void publisher.publish([{ key: partitionKey(revocation), token }])
  }, 1000 / RATE)
  await setTimeout(2000)
  const busy = await between(latest)
  clearInterval(timer)

  const isIssuer = (port: string) => port === new URL(issuer.url).port
  const rows = Object.entries(atRest.last.byPort).map(([port, { open }]) => {
    const of = (measured: Measured) => [measured.received[port], measured.sent[port]].map((n) => (n ?? 0).toFixed(0))
    return [isIssuer(port) ? 'the issuer' : `broker ${port}`, String(open), ...of(atRest), ...of(busy)]
  })
  const head = ['to', 'connections', 'received B/s', 'sent B/s', `received, ${RATE} revocations/s`, 'sent']
  say(`\n${table([['one sidecar with Kafka and FEED_TOKEN', ...head.slice(1)], ...rows])}`)
  const names = [...new Set([...Object.keys(atRest.requests), ...Object.keys(busy.requests)])]
  const requests = names.map((name) => [
    name,
    (atRest.requests[name] ?? 0).toFixed(2),
    (busy.requests[name] ?? 0).toFixed(2),
  ])
  say(`\n${table([['requests to Kafka a second', 'at rest', `${RATE} revocations/s`], ...requests])}`)
}

interface Measured {
  last: Connections
  /** Bytes a second, by port. */
  received: Record<string, number>
  sent: Record<string, number>
  /** A second. */
  requests: Record<string, number>
}

async function between(latest: () => Connections): Promise<Measured> {
  const [first, begin] = [latest(), performance.now()]
  await setTimeout(OBSERVE_S * 1000)
  const [last, seconds] = [latest(), (performance.now() - begin) / 1000]
  const rate = (now: number, before = 0) => (now - before) / seconds
  const map = <T>(record: Record<string, T>, of: (value: T, name: string) => number) =>
    Object.fromEntries(Object.entries(record).map(([name, value]) => [name, of(value, name)]))
  return {
    last,
    received: map(last.byPort, ({ received }, port) => rate(received, first.byPort[port]?.received)),
    sent: map(last.byPort, ({ sent }, port) => rate(sent, first.byPort[port]?.sent)),
    requests: map(last.requests, (count, name) => rate(count, first.requests[name])),
  }
}
