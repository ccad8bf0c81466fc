import { readFileSync } from 'node:fs'

const DOCUMENT = readFileSync(new URL('../../docs/audit-log.md', import.meta.url), 'utf8')

/** The events of docs/audit-log.md, each with its fields. */
export const DOCUMENTED_EVENTS = new Map(
  [...DOCUMENT.matchAll(/^\| `(\w+)` \| [^|]* \| ((?:`\w+` ?)+) \|$/gm)].map(([, event, fields]) => [
    event!,
    new Set([...fields!.matchAll(/`(\w+)`/g)].map(([, field]) => field!)),
  ]),
)

/** An address, a JWT, or 256 bits of anything. */
const SECRET = /@|eyJ|[\w-]{43}|\$/

/**
 * What the client says of itself (a proxy that is trusted may pass on anything as its address), lists of names, and the
 * thumbprints of keys (RFC 7638), which are as long as a token.
 */
const EXEMPT = ['user_agent', 'address', 'permissions', 'roles', 'fields', 'kid', 'previous', 'current']

/** @throws Error for an event or a field that is not documented, and for what must not be in an audit log */
export function checkAuditEvent(event: string, facts: Record<string, unknown>): void {
  const fields = DOCUMENTED_EVENTS.get(event)
  for (const [field, value] of Object.entries(facts)) {
    if (!fields?.has(field)) throw new Error(`docs/audit-log.md does not have ${event} with ${field}`)
    if (typeof value === 'string' && SECRET.test(value) && !EXEMPT.includes(field)) {
      throw new Error(`the audit event ${event} has a secret in ${field}`)
    }
  }
}
