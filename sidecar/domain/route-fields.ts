import { duration, size } from '../../shared/settings.ts'
import { type ClaimRule, DEFAULT_ROUTE, type Route } from './route.ts'
import { METHODS } from './target.ts'
import { UPSTREAM_PATTERN, upstreamAddress } from './upstream.ts'

/** A part of a JSON Schema (draft 07). */
export type JsonSchema = Record<string, unknown>

/** One field of a rule, as the routes file spells it. */
export interface RouteField {
  /** Returns what the field adds to the route, or `undefined` for a value that is not right. */
  read(value: unknown): Partial<Route> | undefined
  /** What would be right, for the error message. */
  expects: string
  /** What it means, for editors and docs/routes.md. */
  meaning: string
  /** Never stricter than `read`; `default` is what holds where the field is left out. */
  schema: JsonSchema
}

const MAX_ENTRIES = 100
const MAX_TEXT = 256

const text: JsonSchema = { type: 'string', minLength: 1, maxLength: MAX_TEXT }
const list = (items: JsonSchema): JsonSchema => ({ type: 'array', items, minItems: 1, maxItems: MAX_ENTRIES })

const timeout = duration('1ms', '1h')
const bodyLimit = size('0B', '1024GiB')

/** The fields of a rule, in the order in which people write them. */
export const ROUTE_FIELDS: Record<string, RouteField> = {
  name: {
    read: (value) => (isText(value) ? { name: value } : undefined),
    expects: `a text of 1 to ${MAX_TEXT} characters`,
    meaning: 'For logs and metrics, unique; without one, the methods and the path.',
    schema: { ...text },
  },
  path: {
    read: (value) => (isText(value) ? { path: value } : undefined),
    expects: 'a path pattern',
    meaning:
      'Which paths: literal segments, `*` for one segment, a final `**` for the rest (also none). Case-sensitive; a slash at the end makes no difference.',
    schema: { ...text, pattern: '^/' },
  },
  methods: {
    read: (value) => {
      const known = isList(value) && value.every((method) => (METHODS as readonly unknown[]).includes(method))
      return known ? { methods: value as string[] } : undefined
    },
    expects: `a list of at least one of ${METHODS.join(', ')} (left out for all)`,
    meaning: 'Which methods; left out for all. `GET` includes `HEAD`.',
    schema: list({ enum: [...METHODS] }),
  },
  access: {
    read: (value) =>
      value === 'public' || value === 'required' || value === 'optional' ? { access: value } : undefined,
    expects: 'public, required or optional',
    meaning:
      '`public`: no token is asked for or looked at. `required`: a valid token. `optional`: none or a valid one; a bad one is refused.',
    schema: { enum: ['public', 'required', 'optional'], default: DEFAULT_ROUTE.access },
  },
  roles: {
    read: (value) => (isList(value) && value.every(isText) ? { roles: value } : undefined),
    expects: 'a list of at least one role',
    meaning: 'The token has at least one of these roles.',
    schema: list(text),
  },
  scopes: {
    read: (value) => (isList(value) && value.every(isScope) ? { scopes: value } : undefined),
    expects: 'a list of at least one scope, each of printable ASCII without space, quote and backslash',
    meaning: 'The token has all of these scopes.',
    schema: list({ ...text, pattern: '^[!#-\\[\\]-~]+$' }),
  },
  claims: {
    read: (value) => {
      const claims = readClaims(value)
      return claims && { claims }
    },
    expects: 'at least one claim with the text, number or boolean it has to be or contain',
    meaning: 'Each of these claims of the token is equal to the value or, when it is a list, contains it.',
    schema: {
      type: 'object',
      minProperties: 1,
      maxProperties: MAX_ENTRIES,
      propertyNames: { minLength: 1, maxLength: MAX_TEXT },
      additionalProperties: { anyOf: [text, { type: 'number' }, { type: 'boolean' }] },
    },
  },
  verifiedEmail: {
    read: (value) => (typeof value === 'boolean' ? { verifiedEmail: value } : undefined),
    expects: 'true or false',
    meaning: 'Whether the e-mail address of the user has to be verified.',
    schema: { type: 'boolean', default: DEFAULT_ROUTE.verifiedEmail },
  },
  staleness: {
    read: (value) => (value === 'closed' || value === 'open' ? { staleness: value } : undefined),
    expects: 'closed or open',
    meaning:
      'When it cannot be known whether the token was revoked: `closed` answers 503 and ends what is open, `open` serves, counts and logs it.',
    schema: { enum: ['closed', 'open'], default: DEFAULT_ROUTE.staleness },
  },
  upstream: {
    read: (value) => (isText(value) ? present('upstream', upstreamAddress.read(value)) : undefined),
    expects: upstreamAddress.expects,
    meaning:
      'The service that gets the request; left out for `UPSTREAM`. `http://` and `https://` speak HTTP/1.1, `h2c://` and `h2://` HTTP/2 without and with TLS, `unix:/path` HTTP/1.1 over a Unix socket. The path that was matched is the path it gets.',
    schema: { ...text, pattern: UPSTREAM_PATTERN },
  },
  timeout: {
    read: (value) => (typeof value === 'string' ? present('timeoutMs', timeout.read(value)) : undefined),
    expects: timeout.expects,
    meaning: 'How long the service may take to begin its answer; then 504.',
    schema: { type: 'string', pattern: '^[0-9]{1,9}(ms|s|m|h|d)$', default: timeout.show?.(DEFAULT_ROUTE.timeoutMs) },
  },
  bodyLimit: {
    read: (value) => (typeof value === 'string' ? present('bodyLimit', bodyLimit.read(value)) : undefined),
    expects: bodyLimit.expects,
    meaning: 'The largest request body; a larger one is 413.',
    schema: {
      type: 'string',
      pattern: '^[0-9]{1,9}(B|KiB|MiB|GiB)$',
      default: bodyLimit.show?.(DEFAULT_ROUTE.bodyLimit),
    },
  },
}

/** What only a token can meet: on a route that does without one it would promise a check that nobody makes. */
export const NEEDS_TOKEN = ['roles', 'scopes', 'claims', 'verifiedEmail']

function readClaims(value: unknown): ClaimRule[] | undefined {
  if (!isMapping(value)) return undefined
  const rules = Object.entries(value).map(([claim, equals]) => ({ claim, equals }))
  const right = rules.every(({ claim, equals }) => isText(claim) && isComparable(equals))
  return right && rules.length > 0 && rules.length <= MAX_ENTRIES ? (rules as ClaimRule[]) : undefined
}

function isComparable(value: unknown): value is ClaimRule['equals'] {
  return isText(value) || typeof value === 'boolean' || Number.isFinite(value)
}

function present<Name extends keyof Route>(name: Name, value: Route[Name] | undefined): Partial<Route> | undefined {
  return value === undefined ? undefined : ({ [name]: value } as Partial<Route>)
}

export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isList(value: unknown): value is unknown[] {
  return Array.isArray(value) && value.length > 0 && value.length <= MAX_ENTRIES
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= MAX_TEXT
}

/** RFC 6749 section 3.3; it has to fit into a quoted text of a header field. */
function isScope(value: unknown): value is string {
  return isText(value) && /^[!#-[\]-~]+$/.test(value)
}
