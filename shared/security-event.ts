import { randomUUID } from 'node:crypto'
import { type KeyFor, parseJws, type SigningKeyPair, signJws, verifySignature } from './jws.ts'
import { parseRevocation, type Revocation } from './revocation.ts'

/** `typ` of a Security Event Token (RFC 8417 section 2.3). */
export const SECURITY_EVENT_TYPE = 'secevent+jwt'

/** The event types on the wire: OpenID CAEP, OpenID SSF, and our own for a key, for which neither has one. */
export const EVENT_TYPES = {
  sessionRevoked: 'https://schemas.openid.net/secevent/caep/event-type/session-revoked',
  verification: 'https://schemas.openid.net/secevent/ssf/event-type/verification',
  keyRevoked: 'urn:sallyport:secevent:key-revoked',
} as const

/** What a feed carries. */
export type SecurityEvent =
  | { type: 'revocation'; revocation: Revocation }
  /**
   * The proof of completeness: every revocation committed before `completeUntilMs` comes earlier in this feed.
   * `instance` is the issuer process that says so. `feed` says that it is about an issuer's own stream, so that nobody
   * can put it into a log in which something is still missing.
   */
  | { type: 'heartbeat'; instance: string; completeUntilMs: number; feed?: 'stream' }
  /**
   * The end of a snapshot: `entries` revocations came before it, and `sha256` (base64url) is SHA-256 over their lines as
   * they were sent; with the proof of completeness as in a heartbeat. One signature vouches for all of them.
   */
  | { type: 'snapshot'; instance: string; completeUntilMs: number; entries: number; sha256: string }

export interface EventContext {
  issuer: string
  audience: readonly string[]
  /** The present: milliseconds. */
  nowMs: number
}

/** Signs an event as a Security Event Token (RFC 8417), subjects as in RFC 9493. */
export function signSecurityEvent(key: SigningKeyPair, event: SecurityEvent, context: EventContext): string {
  const { issuer, audience, nowMs } = context
  return signJws(key, SECURITY_EVENT_TYPE, {
    iss: issuer,
    aud: audience.length === 1 ? audience[0] : audience,
    iat: Math.floor(nowMs / 1000),
    jti: randomUUID(),
    sub_id: subjectOf(event, issuer),
    events: eventsOf(event, nowMs),
  })
}

export type OpenedEvent =
  | { ok: true; event: SecurityEvent; kid: string }
  | { ok: false; refusal: 'event_malformed' | 'event_type' | 'key_unknown' | 'signature_invalid'; kid?: string }

/**
 * Verifies a Security Event Token and reads the event: whoever can write to the broker can't forge one.
 * @returns `key_unknown` names the `kid`, so that the caller may fetch keys and ask again before it goes on
 */
export function openSecurityEvent(token: string, keyFor: KeyFor, issuer: string): OpenedEvent {
  const jws = parseJws(token)
  if (!jws) return { ok: false, refusal: 'event_malformed' }
  if (jws.typ !== SECURITY_EVENT_TYPE) return { ok: false, refusal: 'event_type' }
  const key = keyFor(jws.kid)
  if (!key) return { ok: false, refusal: 'key_unknown', kid: jws.kid }
  if (!verifySignature(jws, key)) return { ok: false, refusal: 'signature_invalid', kid: jws.kid }
  const event = readEvent(jws.payload as Record<string, unknown>, issuer)
  return event ? { ok: true, event, kid: jws.kid } : { ok: false, refusal: 'event_malformed', kid: jws.kid }
}

/**
 * Reads the event without checking who wrote it, only to see whether it is worth a signature check (a replay is full
 * of heartbeats too old to prove anything). Nothing else may be concluded from it.
 */
export function peekSecurityEvent(token: string, issuer: string): SecurityEvent | undefined {
  const jws = parseJws(token)
  return jws && readEvent(jws.payload as Record<string, unknown>, issuer)
}

function subjectOf(event: SecurityEvent, iss: string): object {
  if (event.type !== 'revocation') return { format: 'opaque', id: event.instance }
  const { revocation } = event
  switch (revocation.kind) {
    case 'session':
      return {
        format: 'complex',
        user: { format: 'iss_sub', iss, sub: revocation.sub },
        session: { format: 'opaque', id: revocation.sid },
      }
    case 'user':
      return { format: 'iss_sub', iss, sub: revocation.sub }
    case 'key':
      return { format: 'opaque', id: revocation.kid }
  }
}

function eventsOf(event: SecurityEvent, nowMs: number): object {
  if (event.type === 'heartbeat') {
    const { completeUntilMs, feed } = event
    return { [EVENT_TYPES.verification]: { complete_until: completeUntilMs, ...(feed && { feed }) } }
  }
  if (event.type === 'snapshot') {
    const { completeUntilMs, entries, sha256 } = event
    return { [EVENT_TYPES.verification]: { complete_until: completeUntilMs, entries, sha256 } }
  }
  const { revocation } = event
  const body = { event_timestamp: Math.floor(nowMs / 1000), expires_at: revocation.exp }
  if (revocation.kind === 'key') return { [EVENT_TYPES.keyRevoked]: body }
  return { [EVENT_TYPES.sessionRevoked]: revocation.kind === 'user' ? { ...body, epoch: revocation.epoch } : body }
}

function readEvent(claims: Record<string, unknown>, issuer: string): SecurityEvent | undefined {
  if (claims.iss !== issuer) return undefined
  const events = asObject(claims.events)
  const subject = asObject(claims.sub_id)
  const types = Object.keys(events)
  if (types.length !== 1) return undefined
  const body = asObject(events[types[0]!])
  const exp = body.expires_at
  switch (types[0]) {
    case EVENT_TYPES.verification:
      return readProof(subject.id, body)
    case EVENT_TYPES.keyRevoked:
      return asRevocation({ kind: 'key', kid: subject.id, exp })
    case EVENT_TYPES.sessionRevoked:
      if (subject.format === 'iss_sub') {
        return subject.iss === issuer
          ? asRevocation({ kind: 'user', sub: subject.sub, epoch: body.epoch, exp })
          : undefined
      }
      if (subject.format === 'complex') {
        const user = asObject(subject.user)
        return user.iss === issuer
          ? asRevocation({ kind: 'session', sid: asObject(subject.session).id, sub: user.sub, exp })
          : undefined
      }
      return undefined
    default:
      return undefined
  }
}

function readProof(instance: unknown, body: Record<string, unknown>): SecurityEvent | undefined {
  const { complete_until: until, entries, sha256, feed } = body
  if (typeof instance !== 'string' || instance.length === 0 || instance.length > 128) return undefined
  if (!Number.isSafeInteger(until) || (until as number) < 0) return undefined
  const completeUntilMs = until as number
  if (entries === undefined && sha256 === undefined) {
    const heartbeat = { type: 'heartbeat', instance, completeUntilMs } as const
    if (feed === undefined) return heartbeat
    return feed === 'stream' ? { ...heartbeat, feed } : undefined
  }
  if (!Number.isSafeInteger(entries) || (entries as number) < 0 || typeof sha256 !== 'string') return undefined
  return { type: 'snapshot', instance, completeUntilMs, entries: entries as number, sha256 }
}

function asRevocation(value: object): SecurityEvent | undefined {
  const revocation = parseRevocation(value)
  return revocation && { type: 'revocation', revocation }
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}
