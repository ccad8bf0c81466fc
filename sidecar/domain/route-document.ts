import { duration, size } from '../../shared/settings.ts'
import { type ClaimRule, DEFAULT_ROUTE, type Route } from './route.ts'
import { parsePattern } from './route-pattern.ts'
import { shadowedRoutes } from './routes.ts'
import { METHODS } from './target.ts'

export type ParsedRoutes =
  | { ok: true; routes: Route[] }
  /** Everything that is wrong, a line each, named by its place: `routes[2].path: …`. */
  | { ok: false; problems: string[] }

const MAX_ROUTES = 1000
const MAX_ENTRIES = 100
const MAX_TEXT = 256

interface Field {
  /** Returns what the field adds to the route, or `undefined` for a value that is not right. */
  read(value: unknown): Partial<Route> | undefined
  expects: string
}

const timeout = duration('1ms', '1h')
const bodyLimit = size('0B', '1024GiB')

/** The fields of a rule, as the routes file spells them. */
const FIELDS: Record<string, Field> = {
  name: {
    read: (value) => (isText(value) ? { name: value } : undefined),
    expects: `a text of 1 to ${MAX_TEXT} characters`,
  },
  path: { read: (value) => (isText(value) ? { path: value } : undefined), expects: 'a path pattern' },
  methods: {
    read: (value) => {
      const known = isList(value) && value.every((method) => (METHODS as readonly unknown[]).includes(method))
      return known ? { methods: value as string[] } : undefined
    },
    expects: `a list of at least one of ${METHODS.join(', ')} (left out for all)`,
  },
  access: {
    read: (value) =>
      value === 'public' || value === 'required' || value === 'optional' ? { access: value } : undefined,
    expects: 'public, required or optional',
  },
  roles: {
    read: (value) => (isList(value) && value.every(isText) ? { roles: value } : undefined),
    expects: 'a list of at least one role',
  },
  scopes: {
    read: (value) => (isList(value) && value.every(isScope) ? { scopes: value } : undefined),
    expects: 'a list of at least one scope, each of printable ASCII without space, quote and backslash',
  },
  claims: {
    read: (value) => {
      const claims = readClaims(value)
      return claims && { claims }
    },
    expects: 'at least one claim with the text, number or boolean it has to be or contain',
  },
  verifiedEmail: {
    read: (value) => (typeof value === 'boolean' ? { verifiedEmail: value } : undefined),
    expects: 'true or false',
  },
  staleness: {
    read: (value) => (value === 'closed' || value === 'open' ? { staleness: value } : undefined),
    expects: 'closed or open',
  },
  timeout: {
    read: (value) => (typeof value === 'string' ? present('timeoutMs', timeout.read(value)) : undefined),
    expects: timeout.expects,
  },
  bodyLimit: {
    read: (value) => (typeof value === 'string' ? present('bodyLimit', bodyLimit.read(value)) : undefined),
    expects: bodyLimit.expects,
  },
}

/** What only a token can meet: on a route that does without one it would promise a check that nobody makes. */
const NEEDS_TOKEN = ['roles', 'scopes', 'claims', 'verifiedEmail']

/**
 * Reads the routes document: `{ routes: [rule, …] }`, each rule with a `path` and what differs from
 * {@link DEFAULT_ROUTE}. Durations and sizes are texts with a unit (`30s`, `16MiB`).
 * @param document as a YAML or JSON parser gives it
 * @returns the routes, or every problem at once
 */
export function parseRoutes(document: unknown): ParsedRoutes {
  if (!isMapping(document)) return { ok: false, problems: ['a document with the field routes is expected'] }
  const problems = Object.keys(document)
    .filter((field) => field !== 'routes')
    .map((field) => `${field}: there is no such field; the only one is routes`)
  const { routes: rules } = document
  if (!Array.isArray(rules) || rules.length > MAX_ROUTES) {
    return { ok: false, problems: [...problems, `routes: a list of at most ${MAX_ROUTES} rules is expected`] }
  }
  const routes = rules.map((rule, i) => readRule(rule, `routes[${i}]`, problems))
  problems.push(...findRepeatedNames(routes), ...findShadowed(routes))
  return problems.length > 0 ? { ok: false, problems } : { ok: true, routes: routes as Route[] }
}

/** @returns what could be read of the rule, for the checks across rules; `undefined` without a usable path */
function readRule(rule: unknown, place: string, problems: string[]): Route | undefined {
  if (!isMapping(rule)) {
    problems.push(`${place}: a rule with the field path is expected`)
    return undefined
  }
  const route: Route = { ...DEFAULT_ROUTE, name: '', path: '' }
  for (const [name, value] of Object.entries(rule)) {
    const field = Object.hasOwn(FIELDS, name) ? FIELDS[name] : undefined
    const read = field?.read(value)
    if (read) Object.assign(route, read)
    else if (field) problems.push(`${place}.${name}: ${field.expects} is expected`)
    else problems.push(`${place}.${name}: there is no such field; there are ${Object.keys(FIELDS).join(', ')}`)
  }
  if (!Object.hasOwn(rule, 'path')) problems.push(`${place}.path: a path pattern is expected`)
  problems.push(...findContradictions(rule, route).map((problem) => `${place}.${problem}`))
  route.name ||= [...route.methods, route.path].join(' ')
  if (!route.path) return undefined
  const pattern = parsePattern(route.path)
  if (typeof pattern !== 'string') return route
  problems.push(`${place}.path: ${pattern}`)
  return undefined
}

function findContradictions(rule: Record<string, unknown>, { access }: Route): string[] {
  const found = access === 'required' ? [] : NEEDS_TOKEN.filter((field) => Object.hasOwn(rule, field))
  const problems = found.map((field) => `${field}: only a route with access: required can ask for it`)
  if (access === 'public' && Object.hasOwn(rule, 'staleness')) {
    problems.push('staleness: a public route asks for no token, so nothing can be stale')
  }
  return problems
}

function findRepeatedNames(routes: readonly (Route | undefined)[]): string[] {
  const first = new Map([[DEFAULT_ROUTE.name, 'what holds where no rule matches']])
  return routes.flatMap((route, i) => {
    if (!route) return []
    const taken = first.get(route.name)
    first.set(route.name, taken ?? `routes[${i}]`)
    return taken ? [`routes[${i}].name: ${JSON.stringify(route.name)} is already the name of ${taken}`] : []
  })
}

function findShadowed(routes: readonly (Route | undefined)[]): string[] {
  const places = routes.flatMap((route, place) => (route ? [{ route, place }] : []))
  return shadowedRoutes(places.map(({ route }) => route)).map(([shadowed, by]) => {
    const earlier = places[by]!
    return `routes[${places[shadowed]!.place}]: never reached: routes[${earlier.place}] (${earlier.route.path}) matches first`
  })
}

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

function isMapping(value: unknown): value is Record<string, unknown> {
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
