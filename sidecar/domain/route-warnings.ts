import type { Route } from './route.ts'
import type { RouteProblem } from './route-document.ts'
import { covers, parsePattern, type RoutePattern } from './route-pattern.ts'
import { METHODS } from './target.ts'

interface Rule {
  route: Route
  index: number
  pattern: RoutePattern
  methods: readonly string[]
}

/**
 * What is right as a document but surprises: rules that let everybody in further than they look, rules that a wider and
 * laxer one takes requests from, paths that differ only in case, a slash at the end, parameters as frameworks write them.
 * @param routes as `parseRoutes` gives them; a warning's place is theirs
 * @throws Error when a route's pattern is malformed; those of `parseRoutes` are not
 */
export function findWarnings(routes: readonly Route[]): RouteProblem[] {
  const rules = routes.map(readRule)
  return rules.flatMap((rule) => {
    const earlier = rules.slice(0, rule.index)
    const later = rules.slice(rule.index + 1)
    return [
      ...warnOfEverybody(rule),
      ...warnOfLaxerBefore(rule, earlier),
      ...warnOfTwins(rule, earlier),
      ...warnOfCase(rule, later),
      ...warnOfSlash(rule),
      ...warnOfParameters(rule),
    ]
  })
}

function readRule(route: Route, index: number): Rule {
  const pattern = parsePattern(route.path)
  if (typeof pattern === 'string') throw new Error(`${route.path}: ${pattern}`)
  const named = route.methods.includes('GET') ? [...new Set([...route.methods, 'HEAD'])] : route.methods
  return { route, index, pattern, methods: named.length === 0 ? METHODS : named }
}

function warn({ index }: Rule, field: string, message: string): RouteProblem[] {
  return [{ place: ['routes', index, field], message }]
}

function warnOfEverybody(rule: Rule): RouteProblem[] {
  const { route, pattern } = rule
  if (route.access !== 'public') return []
  if (pattern.segments[0] === undefined && (pattern.rest || pattern.segments.length > 0)) {
    return warn(rule, 'access', `lets everybody in, whatever the first part of the path is (${route.path})`)
  }
  if (!pattern.rest || route.methods.length > 0) return []
  const message = `lets everybody in to all below ${route.path}, to write and delete too; name the methods if reading is meant`
  return warn(rule, 'access', message)
}

function warnOfLaxerBefore(rule: Rule, earlier: readonly Rule[]): RouteProblem[] {
  // GET for everybody and the rest for some, on one and the same path, is what people mean: only a wider one surprises.
  const laxer = earlier.find(
    (other) =>
      demand(other.route) < demand(rule.route) &&
      sharedMethods(rule, other).length > 0 &&
      covers(other.pattern, rule.pattern) &&
      !covers(rule.pattern, other.pattern),
  )
  if (!laxer) return []
  const methods = sharedMethods(rule, laxer).join(', ')
  return warn(rule, 'path', `for ${methods} ${nameOf(laxer)} decides, which comes first and asks for less`)
}

function warnOfTwins(rule: Rule, earlier: readonly Rule[]): RouteProblem[] {
  const folded = withLiterals(rule.pattern, (literal) => literal.toLowerCase())
  const twin = earlier.find((other) => {
    const otherFolded = withLiterals(other.pattern, (literal) => literal.toLowerCase())
    return areSame(folded, otherFolded) && !areSame(rule.pattern, other.pattern)
  })
  return twin ? warn(rule, 'path', `differs from ${nameOf(twin)} only in case; many services see one path`) : []
}

function warnOfCase(rule: Rule, later: readonly Rule[]): RouteProblem[] {
  if (demand(rule.route) < 2) return []
  const otherCase = withLiterals(rule.pattern, swapCase)
  if (areSame(otherCase, rule.pattern)) return []
  const open = later.find(
    (other) => demand(other.route) < 2 && sharedMethods(rule, other).length > 0 && covers(other.pattern, otherCase),
  )
  if (!open) return []
  const example = otherCase.segments.map((segment) => `/${segment ?? '*'}`).join('')
  const message = `${example} is another path and falls to ${nameOf(open)}, which needs no token; a service that ignores case is open there`
  return warn(rule, 'path', message)
}

function warnOfSlash(rule: Rule): RouteProblem[] {
  const { path } = rule.route
  if (path === '/' || !path.endsWith('/')) return []
  return warn(rule, 'path', `the slash at the end makes no difference: ${path.slice(0, -1)} matches too`)
}

/** `{id}`, `:id` and `<id>` are what frameworks write for one segment; here they are literal, and match nothing else. */
function warnOfParameters(rule: Rule): RouteProblem[] {
  const parameter = rule.route.path.split('/').find((segment) => /^(?::\w+|\{[^{}]+\}|<[^<>]+>)$/.test(segment))
  if (parameter === undefined) return []
  return warn(rule, 'path', `${parameter} is taken as it stands; * is any one segment`)
}

/** How much a rule asks for: nothing, a token that is good if there is one, a token, a token that says more. */
function demand(route: Route): number {
  if (route.access !== 'required') return route.access === 'public' ? 0 : 1
  const asksForMore = route.roles.length + route.scopes.length + route.claims.length > 0 || route.verifiedEmail
  return asksForMore ? 3 : 2
}

function sharedMethods(a: Rule, b: Rule): string[] {
  return a.methods.filter((method) => b.methods.includes(method))
}

function areSame(a: RoutePattern, b: RoutePattern): boolean {
  return covers(a, b) && covers(b, a)
}

function withLiterals({ segments, rest }: RoutePattern, change: (literal: string) => string): RoutePattern {
  return { segments: segments.map((segment) => (segment === undefined ? undefined : change(segment))), rest }
}

function swapCase(text: string): string {
  return text === text.toUpperCase() ? text.toLowerCase() : text.toUpperCase()
}

function nameOf({ index, route }: Rule): string {
  return `routes[${index}] (${route.path})`
}
