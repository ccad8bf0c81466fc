import type { publishRound } from '../../issuer/adapters/outbox.ts'
import { revocationId } from '../../shared/revocation.ts'
import { peekSecurityEvent } from '../../shared/security-event.ts'
import { ISSUER } from '../helpers/revocations.ts'
import type { Bend } from './run.ts'

/** Wrong variants of the design, each made by replacing one part of it. A model that does not find them is worth nothing. */
export const VARIANTS: Record<string, Bend> = {
  // The five that the design names.
  'a heartbeat without reading the ledger': {
    issuer: { outbox: (parts) => ({ ...parts, ledger: { ...parts.ledger, unpublished: async () => [] } }) },
  },
  'freshness by arrival': {
    sidecar: {
      freshness: (freshness, clock) => ({
        ...freshness,
        advance: (source) => freshness.advance(source, clock.now()),
      }),
    },
  },
  'complete_until taken when sending': {
    issuer: {
      outbox: (parts) => ({
        ...parts,
        sign: (event) =>
          parts.sign(event.type === 'heartbeat' ? { ...event, completeUntilMs: parts.clock.now() } : event),
      }),
    },
  },
  'an entry marked before the acknowledgement': {
    issuer: {
      outbox: (parts) => ({ ...parts, publisher: markingFirst(parts.publisher, parts.ledger.markPublished) }),
      revoke: (ports) => ({ ...ports, publisher: markingFirst(ports.publisher, ports.ledger.markPublished) }),
    },
  },
  'an issuer that looks at its own entries only': {
    issuer: {
      outbox: (parts, { recordedBy }) => ({
        ...parts,
        ledger: {
          ...parts.ledger,
          unpublished: async (instance, limit, nowS) =>
            (await parts.ledger.unpublished(instance, limit, nowS)).filter(({ id }) =>
              instance.startsWith(`${recordedBy.get(id)}-`),
            ),
        },
      }),
    },
  },
  // Others that would be easy to make.
  'a refresh that does not ask the ledger': {
    issuer: { ledger: (ledger) => ({ ...ledger, isSessionRevoked: async () => false }) },
  },
  'reading the topic from its end': { sidecar: { from: (_low, high) => high } },
  'the partition that is furthest counts': {
    sidecar: {
      progress: (_offsets, onProven) => ({
        expect: () => {},
        read: () => {},
        proven: (_partition, untilMs) => onProven(untilMs),
      }),
    },
  },
  'entries that are forgotten after the staleness bound': {
    sidecar: { revocations: (list) => ({ ...list, sweep: (nowS) => list.sweep(nowS + 300) }) },
  },
}

function markingFirst(
  publisher: Parameters<typeof publishRound>[0]['publisher'],
  markPublished: (ids: string[]) => Promise<void>,
): typeof publisher {
  return {
    async publish(events) {
      const ids = events.flatMap(({ token }) => {
        const event = peekSecurityEvent(token, ISSUER)
        return event?.type === 'revocation' ? [revocationId(event.revocation)] : []
      })
      if (ids.length > 0) await markPublished(ids)
      await publisher.publish(events)
    },
  }
}
