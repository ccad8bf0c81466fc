import type { DigestLedger } from '../../issuer/adapters/ledger-digest.ts'
import { type Clock, LEEWAY_S } from '../../shared/clock.ts'
import { ALGORITHM_NAMES } from '../../shared/jws.ts'
import { createLifecycle } from '../../shared/lifecycle.ts'
import { createLog } from '../../shared/log.ts'
import { createMetrics } from '../../shared/metrics.ts'
import { type Revocation, revocationId } from '../../shared/revocation.ts'
import { createRevocationDigest, isWithin } from '../../shared/revocation-digest.ts'
import { createComparison } from '../../sidecar/domain/comparison.ts'
import { type Decision, type DecisionState, decide } from '../../sidecar/domain/decide.ts'
import { createFreshness, type Freshness } from '../../sidecar/domain/freshness.ts'
import { createKeyRing } from '../../sidecar/domain/key-ring.ts'
import { createRevocationList, type RevocationList } from '../../sidecar/domain/revocation-list.ts'
import { createRouteTable } from '../../sidecar/domain/routes.ts'
import { createVerifier } from '../../sidecar/domain/verify.ts'
import { createIntake } from '../../sidecar/feeds/intake.ts'
import { type Connection, createConnection } from '../../sidecar/feeds/issuer-stream.ts'
import { type Reading, readBatch } from '../../sidecar/feeds/kafka.ts'
import { createPartitionProgress } from '../../sidecar/feeds/partition-progress.ts'
import { readServerSentEvents } from '../../sidecar/feeds/server-sent-events.ts'
import { ISSUER, noMoreKeys } from '../helpers/revocations.ts'
import type { Broker } from './broker.ts'
import { AUDIENCE, createChannel, key, type ModelIssuer } from './issuer.ts'
import type { Process, World } from './world.ts'

export const MAX_STALENESS_MS = 20_000

const log = createLog('model', 'silent')
const routes = createRouteTable([])
/** The list is swept in sixteen parts. */
const SWEEPS = 17
const CUT_AGO_S = 2 * LEEWAY_S
const CUT_APART_S = 60

/** What a wrong variant of the design bends. */
export interface SidecarBend {
  freshness?(freshness: Freshness, clock: Clock): Freshness
  revocations?(list: RevocationList): RevocationList
  progress?: typeof createPartitionProgress
  /** Where reading the topic begins. */
  from?(low: number, high: number): number
}

/** One life of one sidecar. It serves from the first moment: whether it knows enough is a part of each decision. */
export interface ModelSidecar {
  decide(token: string): Decision
  /** Names of the revocations this sidecar has read. */
  read: ReadonlySet<string>
  isFresh(): boolean
  /** Names of what its list holds. */
  listed(): Set<string>
  /** Reads at most so many messages of a partition. */
  fetch(partition: number, count: number): Promise<void>
  /** Gives up the Kafka consumer for a new one. */
  rejoin(): void
  /** Opens the stream of this issuer, where it broke before if it can. */
  connect(issuer: ModelIssuer): void
  /** Breaks the connection to the issuer's stream. */
  disconnect(): void
  /** Reads at most so many frames of the stream. */
  follow(count: number): Promise<void>
  /** Compares its list with an issuer's ledger, and reads a snapshot if they differ. */
  reconcile(issuer: ModelIssuer): Promise<void>
  sweep(): void
}

export function createModelSidecar(
  world: World,
  process: Process,
  broker: Broker,
  bend: SidecarBend = {},
): ModelSidecar {
  const clock = world.clockOf(process)
  const lifecycle = createLifecycle(log)
  const list = createRevocationList()
  const revocations = bend.revocations?.(list) ?? list
  const known = createFreshness({ maxStalenessMs: MAX_STALENESS_MS, clock })
  const freshness = bend.freshness?.(known, clock) ?? known
  const ring = createKeyRing({ maxStaleMs: Number.MAX_SAFE_INTEGER })
  ring.replace([key], clock.now())
  const rules = { keyFor: ring.keyFor, algorithms: ALGORITHM_NAMES, issuer: ISSUER, audience: AUDIENCE }
  const state: DecisionState = {
    routes,
    verifier: createVerifier({ rules, cacheSize: 100 }),
    revocations,
    freshness,
  }
  const read = new Set<string>()
  const intake = createIntake({
    ring,
    revocations,
    onRevocation: (revocation: Revocation) => void read.add(revocationId(revocation)),
    issuer: ISSUER,
    maxStalenessMs: MAX_STALENESS_MS,
    clock,
    log,
    metrics: createMetrics(),
  })
  const feed = { intake, keys: noMoreKeys, log, lifecycle, signal: lifecycle.signal }

  const join = () => {
    const offsets = broker.partitions.map(({ low, messages }, partition) => ({ partition, low, high: messages.length }))
    const positions = offsets.map(({ low, high }) => bend.from?.(low, high) ?? low)
    const progress = (bend.progress ?? createPartitionProgress)(
      offsets.map(({ partition, low, high }) => ({ partition, low: String(low), high: String(high) })),
      (untilMs) => void freshness.advance('kafka', untilMs),
    )
    const reading: Reading = {
      ...feed,
      address: { brokers: [], topic: 'model' },
      progress,
      onProgress: () => {},
      skipped: new Set(),
      reaches: new Map(),
      stillAlive: () => {},
      fail: (error) => {
        failed = error
      },
    }
    let failed: unknown
    return { positions, reading, hasFailed: () => failed !== undefined }
  }
  let session = join()

  const fetchMessages = async (index: number, count: number) => {
    const partition = index % broker.partitions.length
    const { low, messages } = broker.partitions[partition]!
    const at = session.positions[partition]!
    // Out of range: the consumer's default is the beginning.
    const from = at > messages.length || at < low ? low : at
    const values = messages.slice(from, from + count).map(({ token }) => ({ value: Buffer.from(token) }))
    if (values.length === 0) return
    const to = from + values.length
    const batch = {
      partition,
      messages: values,
      lastOffset: () => String(to - 1),
      highWatermark: String(messages.length),
    } as never
    session.positions[partition] = to
    await readBatch({ batch, heartbeat: async () => {} }, session.reading).catch((error) => {
      if (!session.hasFailed()) throw error
      session = join()
    })
  }

  let stream: { connection: Connection; channel: ReturnType<typeof createChannel> } | undefined
  let resumeFrom: string | undefined
  const breakOff = (intact: boolean) => {
    if (!stream) return
    const { connection, channel } = stream
    stream = undefined
    resumeFrom = intact && connection.proven() ? connection.lastId() : undefined
    channel.out.destroy()
  }

  const follow = async (count: number) => {
    for (let n = 0; n < count && stream; n++) {
      const { connection, channel } = stream
      const frame = channel.frames.shift()
      if (frame === undefined) return channel.out.writableEnded || channel.out.destroyed ? breakOff(true) : undefined
      try {
        const untilMs = await readFrame(connection, frame)
        if (untilMs !== undefined) freshness.advance('stream', untilMs)
      } catch {
        breakOff(false)
      }
    }
  }

  const comparison = createComparison()
  const reconcile = async (issuer: { digest: DigestLedger; snapshot(): AsyncGenerator<string> }) => {
    const nowMs = clock.now()
    if (!freshness.isFresh(nowMs)) return
    const cut = Math.floor((nowMs / 1000 - CUT_AGO_S) / CUT_APART_S) * CUT_APART_S
    const asked = issuer.digest(cut)
    if (!asked.ok) return
    const issuers = await asked.digest
    if (freshness.completeUntil() < cut * 1000) return
    const own = createRevocationDigest()
    for (const batch of revocations.batches((kind, exp) => isWithin(issuers.window, kind, exp))) {
      for (const [id] of batch) own.add(id)
    }
    if (clock.now() / 1000 + LEEWAY_S >= issuers.window.after) return
    if (!comparison.judge(own.value(), issuers).mend) return
    const connection = createConnection(feed, lifecycle.signal)
    for await (const frame of issuer.snapshot()) {
      const untilMs = await readFrame(connection, frame)
      if (untilMs !== undefined) comparison.mended()
    }
  }

  return {
    decide: (token) =>
      decide({ method: 'GET', target: '/', rawHeaders: ['authorization', `Bearer ${token}`] }, state, clock.now()),
    read,
    isFresh: () => freshness.isFresh(clock.now()),
    listed: () => new Set([...revocations.batches(() => true)].flat().map(([id]) => id)),
    fetch: fetchMessages,
    rejoin() {
      session = join()
    },
    connect(issuer) {
      if (stream) return
      const channel = createChannel()
      stream = { channel, connection: createConnection(feed, lifecycle.signal, resumeFrom) }
      issuer.subscribe(channel.out, resumeFrom)
    },
    disconnect: () => breakOff(true),
    follow,
    reconcile,
    sweep() {
      // As the sidecar's timer does it: the issuers' clock has to agree that it is time to forget.
      const nowS = Math.floor(Math.min(clock.now(), freshness.completeUntil()) / 1000)
      for (let n = 0; n < SWEEPS; n++) revocations.sweep(nowS)
    },
  }
}

async function readFrame(connection: Connection, frame: string): Promise<number | undefined> {
  let untilMs: number | undefined
  for await (const event of readServerSentEvents(bytesOf(frame))) untilMs = await connection.read(event)
  return untilMs
}

async function* bytesOf(text: string) {
  yield Buffer.from(text)
}
