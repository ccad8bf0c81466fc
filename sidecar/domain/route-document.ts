import { isNearMiss } from '../../shared/settings.ts'
import { DEFAULT_ROUTE, type Route } from './route.ts'
import { isMapping, NEEDS_TOKEN, ROUTE_FIELDS } from './route-fields.ts'
import { parsePattern } from './route-pattern.ts'
import { shadowedRoutes } from './routes.ts'

/** One thing that is wrong with a routes document, or that is likely not what was meant. */
export interface RouteProblem {
  /** Where: names and indices from the document down; empty for the document as a whole. */
  place: readonly (string | number)[]
  message: string
}

export type ParsedRoutes =
  | { ok: true; routes: Route[] }
  /** Everything that is wrong. */
  | { ok: false; problems: RouteProblem[] }

export const MAX_ROUTES = 1000
const MAX_SHOWN = 60

/** A place as people write it: `routes[2].path`. */
export function placeText(place: RouteProblem['place']): string {
  return place.map((step, i) => (typeof step === 'number' ? `[${step}]` : i === 0 ? step : `.${step}`)).join('')
}

/**
 * Reads the routes document: `{ routes: [rule, …] }`, each rule with a `path` and what differs from
 * {@link DEFAULT_ROUTE}. Durations and sizes are texts with a unit (`30s`, `16MiB`).
 * @param document as a YAML or JSON parser gives it
 * @returns the routes, or every problem at once
 */
export function parseRoutes(document: unknown): ParsedRoutes {
  if (!isMapping(document)) {
    return { ok: false, problems: [{ place: [], message: 'a document with the field routes is expected' }] }
  }
  const problems: RouteProblem[] = Object.keys(document)
    // JSON has no comments: there an editor finds the schema by this field.
    .filter((field) => field !== 'routes' && field !== '$schema')
    .map((field) => ({ place: [field], message: 'there is no such field; the only one is routes' }))
  const { routes: rules } = document
  if (!Array.isArray(rules) || rules.length > MAX_ROUTES) {
    const message = `a list of at most ${MAX_ROUTES} rules is expected`
    return { ok: false, problems: [...problems, { place: ['routes'], message }] }
  }
  const routes = rules.map((rule, i) => readRule(rule, i, problems))
  problems.push(...findRepeatedNames(routes), ...findShadowed(routes))
  return problems.length > 0 ? { ok: false, problems } : { ok: true, routes: routes as Route[] }
}

/** @returns what could be read of the rule, for the checks across rules; `undefined` without a usable path */
function readRule(rule: unknown, index: number, problems: RouteProblem[]): Route | undefined {
  const wrong = (field: string | undefined, message: string) => {
    problems.push({ place: ['routes', index, ...(field === undefined ? [] : [field])], message })
  }
  if (!isMapping(rule)) {
    wrong(undefined, 'a rule with the field path is expected')
    return undefined
  }
  const route: Route = { ...DEFAULT_ROUTE, name: '', path: '' }
  for (const [name, value] of Object.entries(rule)) {
    const field = Object.hasOwn(ROUTE_FIELDS, name) ? ROUTE_FIELDS[name] : undefined
    const read = field?.read(value)
    if (read) Object.assign(route, read)
    else if (field) wrong(name, `${field.expects} is expected, not ${shown(value)}`)
    else wrong(name, `there is no such field; ${suggestion(name)}`)
  }
  if (!Object.hasOwn(rule, 'path')) wrong('path', 'a path pattern is expected')
  for (const [field, message] of findContradictions(rule, route)) wrong(field, message)
  route.name ||= [...route.methods, route.path].join(' ')
  if (!route.path) return undefined
  const pattern = parsePattern(route.path)
  if (typeof pattern !== 'string') return route
  wrong('path', pattern)
  return undefined
}

/** A wrong value as it was given, but for a password in an address: problems are logged. */
function shown(value: unknown): string {
  const text = (JSON.stringify(value) ?? String(value)).replace(/\/\/[^/]*@/g, '//…@')
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
}

/** What was probably meant by a name that no field has (`role`, `body_limit`), or else all there are. */
function suggestion(name: string): string {
  const plain = (text: string) => text.replace(/[-_]/g, '').toLowerCase()
  const meant = Object.keys(ROUTE_FIELDS).find((field) => isNearMiss(plain(name), plain(field)))
  return meant ? `did you mean ${meant}?` : `there are ${Object.keys(ROUTE_FIELDS).join(', ')}`
}

function findContradictions(rule: Record<string, unknown>, { access }: Route): [field: string, message: string][] {
  const found = access === 'required' ? [] : NEEDS_TOKEN.filter((field) => Object.hasOwn(rule, field))
  const problems = found.map((field): [string, string] => [field, 'only a route with access: required can ask for it'])
  if (access === 'public' && Object.hasOwn(rule, 'staleness')) {
    problems.push(['staleness', 'a public route asks for no token, so nothing can be stale'])
  }
  return problems
}

function findRepeatedNames(routes: readonly (Route | undefined)[]): RouteProblem[] {
  const first = new Map([[DEFAULT_ROUTE.name, 'what holds where no rule matches']])
  return routes.flatMap((route, i) => {
    if (!route) return []
    const taken = first.get(route.name)
    first.set(route.name, taken ?? `routes[${i}]`)
    const message = `${JSON.stringify(route.name)} is already the name of ${taken}`
    return taken ? [{ place: ['routes', i, 'name'], message }] : []
  })
}

function findShadowed(routes: readonly (Route | undefined)[]): RouteProblem[] {
  const places = routes.flatMap((route, place) => (route ? [{ route, place }] : []))
  return shadowedRoutes(places.map(({ route }) => route)).map(([shadowed, by]) => {
    const earlier = by.map((index) => `routes[${places[index]!.place}] (${places[index]!.route.path})`).join(' and ')
    const message = `never reached: ${earlier} ${by.length === 1 ? 'matches' : 'together match'} first`
    return { place: ['routes', places[shadowed]!.place], message }
  })
}
