import { Writable } from 'node:stream'
import { createEventStream, type EventStream } from '../../issuer/adapters/event-stream.ts'
import { createLedgerDigest, type DigestLedger } from '../../issuer/adapters/ledger-digest.ts'
import { type OutboxParts, publishRound } from '../../issuer/adapters/outbox.ts'
import { createReplay } from '../../issuer/adapters/replay.ts'
import { readSnapshot } from '../../issuer/adapters/snapshot.ts'
import { createAuthenticate } from '../../issuer/domain/authenticate.ts'
import { createIssueTokens } from '../../issuer/domain/issue-tokens.ts'
import type { KeySet } from '../../issuer/domain/key-set.ts'
import { createLogout, type LogoutResult } from '../../issuer/domain/logout.ts'
import type { Clients, Ledger, LedgerEntry, Publisher, Sessions, Users } from '../../issuer/domain/ports.ts'
import { createRefresh, type RefreshResult } from '../../issuer/domain/refresh.ts'
import { refreshTokenKeys } from '../../issuer/domain/refresh-token.ts'
import { createRevoke, type RevokePorts } from '../../issuer/domain/revoke.ts'
import { judgeRotation, type Session } from '../../issuer/domain/session.ts'
import type { User } from '../../issuer/domain/user.ts'
import type { SigningKeyPair } from '../../shared/jws.ts'
import { createLifecycle } from '../../shared/lifecycle.ts'
import { createLog } from '../../shared/log.ts'
import { createMetrics } from '../../shared/metrics.ts'
import { ISSUER, signer, signingKey } from '../helpers/revocations.ts'
import { type Broker, createModelPublisher } from './broker.ts'
import type { Process, World } from './world.ts'

export const LIFETIME_S = 300
export const AUDIENCE = ['test']
export const key: SigningKeyPair = signingKey()

const HOUR_MS = 3_600_000
const log = createLog('model', 'silent')
const keySet = {
  current: () => key,
  confirm: () => key,
  keyFor: (kid: string) => (kid === key.kid ? key : undefined),
  freshen: async () => {},
} as unknown as KeySet
const macKeys = refreshTokenKeys(['the master key of the model'])
const audit = { record: () => {} }
const roleGrants = { of: async () => ({ roles: [], permissions: [] }), forget: () => {} }
const clients = { byId: async () => undefined } as unknown as Clients

/** What outlives every issuer: ledger and users are durable, sessions may be lost and come back. */
export interface Stores {
  ledger: { entry: LedgerEntry; published: boolean }[]
  /** When each entry of the ledger was committed: true time, milliseconds. */
  committedAt: Map<string, number>
  /** Which issuer's logout recorded it first. */
  recordedBy: Map<string, string>
  users: Map<string, User>
  sessions: Map<string, Session>
}

/** What a wrong variant of the design bends. */
export interface IssuerBend {
  /** What the outbox works with. */
  outbox?(parts: OutboxParts, stores: Stores): OutboxParts
  revoke?(ports: RevokePorts): RevokePorts
  /** What a refresh and a logout ask. */
  ledger?(ledger: Ledger): Ledger
}

/** One life of one issuer. */
export interface ModelIssuer {
  logout(accessToken: string, all: boolean): Promise<LogoutResult>
  refresh(refreshToken: string): Promise<RefreshResult>
  /** One round of the outbox, unless one is under way. */
  round(): void
  subscribe: EventStream['subscribe']
  digest: DigestLedger
  /** The frames of a snapshot for whoever compares its list. */
  snapshot(): AsyncGenerator<string>
  /** Has a connection to the broker again, should it have lost it. */
  reconnect(): void
  close(): void
}

export function createModelIssuer(
  world: World,
  process: Process,
  stores: Stores,
  broker: Broker,
  bend: IssuerBend = {},
): ModelIssuer {
  const clock = world.clockOf(process)
  const metrics = createMetrics()
  const lifecycle = createLifecycle(log)
  const sign = signer(key, ISSUER, clock)
  const instance = `${process.name}-${process.life}`
  const ports = createPorts(world, process, stores)
  const ledger = bend.ledger?.(ports.ledger) ?? ports.ledger
  const kafka = createModelPublisher(world, process, broker)
  // Its memory of ids is large: as long as nobody listens it does nothing, and need not be there.
  let stream: EventStream | undefined
  const openStream = () => {
    const options = { ledger: ports.ledger, sign, clock, instance, issuer: ISSUER, tailMs: 250, heartbeatMs: 1000 }
    stream ??= createEventStream({ ...options, log, lifecycle, metrics })
    return stream
  }
  const publisher: Publisher = {
    async publish(events) {
      await stream?.publisher.publish(events)
      await kafka.publish(events)
    },
  }
  const replay = createReplay({ ledger: ports.ledger, storedKeys: () => [], lifetimeS: LIFETIME_S, instance, clock })
  const parts: OutboxParts = { ledger: ports.ledger, publisher, sign, instance, clock, replay }
  const outbox = bend.outbox?.(parts, stores) ?? parts
  const revokePorts: RevokePorts = { ...ports, ledger, publisher, sign, clock, log, instance }
  const revoke = createRevoke(bend.revoke?.(revokePorts) ?? revokePorts, {
    lifetimeS: LIFETIME_S,
    refreshTtlMs: HOUR_MS,
    publishTimeoutMs: 1000,
  })
  const authenticate = createAuthenticate(
    { ...ports, ledger, keySet, clients, clock },
    { issuer: ISSUER, audience: AUDIENCE },
  )
  const logout = createLogout({ ...ports, ledger, authenticate, revoke, macKeys, audit })
  const issueTokens = createTokenIssue(clock)
  const refresh = createRefresh(
    { ...ports, ledger, revoke, roleGrants, issueTokens, keySet, macKeys, audit, clock },
    HOUR_MS,
  )
  let rounding = false

  return {
    logout: (accessToken, all) => logout({ accessToken, refreshToken: undefined, all, address: null }),
    refresh: (token) => refresh(token, null),
    round() {
      if (rounding) return
      rounding = true
      const done = () => {
        rounding = false
      }
      publishRound(outbox).then(done, done)
    },
    subscribe: (out, lastEventId) => openStream().subscribe(out, lastEventId),
    digest: createLedgerDigest({ ledger: ports.ledger, instance, clock, lifetimeS: LIFETIME_S }),
    async *snapshot() {
      const { entries, end } = readSnapshot({ ledger: ports.ledger, clock, instance })
      for await (const frame of entries) yield frame.toString()
      yield toFrame(sign(end()))
    },
    reconnect: kafka.reconnect,
    close() {
      stream?.close()
      void lifecycle.close()
    },
  }
}

/** @param clock of whoever issues them */
export function createTokenIssue(clock: { now(): number }) {
  return createIssueTokens(
    { keySet, macKeys, clock },
    { issuer: ISSUER, audience: AUDIENCE, lifetimeS: LIFETIME_S, profileClaims: [] },
  )
}

/** What an issuer writes into a connection of its stream, to be read frame by frame. */
export function createChannel(): { frames: string[]; out: Writable } {
  const frames: string[] = []
  const out = new Writable({
    decodeStrings: false,
    write(chunk: string | Buffer, _encoding, callback) {
      frames.push(chunk.toString())
      callback()
    },
  })
  return { frames, out }
}

const toFrame = (token: string) => `event: set\ndata: ${token}\n\n`

/** The ports over the stores: each call is an operation that the commands let happen, fail or go unanswered. */
function createPorts(world: World, process: Process, { ledger, committedAt, recordedBy, users, sessions }: Stores) {
  const ask = <T>(execute: () => T) => world.ask(process, 'store', execute)
  const ledgerPort: Ledger = {
    async record(entries) {
      return ask(() => {
        for (const { id } of entries) {
          if (committedAt.has(id)) continue
          committedAt.set(id, world.now)
          recordedBy.set(id, process.name)
        }
        const added = entries.filter(({ id }) => !ledger.some(({ entry }) => entry.id === id))
        ledger.push(...added.map((entry) => ({ entry, published: false })))
        return entries.map(({ id }) => ledger.find(({ entry }) => entry.id === id)!.entry.revocation)
      })
    },
    isSessionRevoked: (sid) => ask(() => committedAt.has(`session:${sid}`)),
    unpublished: (_instance, limit, nowS = 0) =>
      ask(() =>
        ledger
          .filter(({ entry, published }) => !published && entry.revocation.exp > nowS)
          .map(({ entry }) => entry)
          .sort((a, b) => a.revocation.exp - b.revocation.exp)
          .slice(0, limit),
      ),
    markPublished: (ids) =>
      ask(() => {
        for (const known of ledger) known.published ||= ids.includes(known.entry.id)
      }),
    since: (_instance, cursor, nowS) =>
      ask(() => {
        // One again, as the port allows.
        const from = Math.max(0, ((cursor as number | undefined) ?? 0) - 1)
        const found = ledger.slice(from).map(({ entry }) => entry)
        return { entries: found.filter(({ revocation }) => revocation.exp > nowS), cursor: ledger.length }
      }),
    async *live(_instance, nowS) {
      const found = await ask(() => ledger.map(({ entry }) => entry.revocation).filter(({ exp }) => exp > nowS))
      for (const one of found) yield [one]
    },
  }
  const sessionPort: Partial<Sessions> = {
    byId: (sid) => ask(() => sessions.get(sid)),
    end: (sid) => ask(() => sessions.delete(sid)),
    endAll: (sub, belowEpoch) =>
      ask(() => {
        const ended = [...sessions.values()].filter((one) => one.sub === sub && one.epoch < belowEpoch)
        for (const { sid } of ended) sessions.delete(sid)
        return ended.length
      }),
    rotate: (claim) =>
      ask(() => {
        const rotation = judgeRotation(sessions.get(claim.sid), claim)
        if (rotation.outcome !== 'unknown') sessions.set(claim.sid, rotation.session)
        return rotation
      }),
  }
  const userPort: Partial<Users> = {
    byId: (id) => ask(() => users.get(id)),
    raiseEpoch: (id) =>
      ask(() => {
        const user = users.get(id)
        if (!user) return undefined
        users.set(id, { ...user, epoch: user.epoch + 1 })
        return user.epoch + 1
      }),
  }
  return { ledger: ledgerPort, sessions: sessionPort as Sessions, users: userPort as Users }
}
