import { DEFAULT_ROUTE, type Route } from './route.ts'
import { covers, literalPrefix, parsePattern, patternExpression, type RoutePattern } from './route-pattern.ts'
import { METHODS } from './target.ts'

/** The rules in their order, ready to be asked. */
export interface RouteTable {
  readonly routes: readonly Route[]
  /**
   * The first rule that matches, or {@link DEFAULT_ROUTE}.
   * @param method one that `readTarget` let pass; a rule for GET is one for HEAD too
   * @param path the decoded path of `readTarget`
   */
  match(method: string, path: string): Route
  /**
   * The rules that {@link match} passes over before it decides, in their order, and which half of each does not match.
   */
  passedOver(method: string, path: string): PassedOver[]
}

/** A rule that does not match a request: at least one of the two is false. */
export interface PassedOver {
  route: Route
  methodMatches: boolean
  pathMatches: boolean
}

interface Rule {
  route: Route
  methods: ReadonlySet<string>
  pattern: RoutePattern
}

interface ReadyRule extends Rule {
  prefix: string
  expression: RegExp
}

/** @throws Error when a route's pattern is malformed; those of `parseRoutes` are not */
export function createRouteTable(routes: readonly Route[]): RouteTable {
  const rules: ReadyRule[] = routes.map(compile).map((rule) => ({
    ...rule,
    prefix: literalPrefix(rule.pattern),
    expression: patternExpression(rule.pattern),
  }))
  return {
    routes,
    match(method, path) {
      for (const rule of rules) if (matchesMethod(rule, method) && matchesPath(rule, path)) return rule.route
      return DEFAULT_ROUTE
    },
    passedOver(method, path) {
      const looked = rules.map((rule) => ({
        route: rule.route,
        methodMatches: matchesMethod(rule, method),
        pathMatches: matchesPath(rule, path),
      }))
      const deciding = looked.findIndex(({ methodMatches, pathMatches }) => methodMatches && pathMatches)
      return deciding === -1 ? looked : looked.slice(0, deciding)
    },
  }
}

function matchesMethod({ methods }: ReadyRule, method: string): boolean {
  return methods.size === 0 || methods.has(method)
}

function matchesPath({ prefix, expression }: ReadyRule, path: string): boolean {
  return path.startsWith(prefix) && expression.test(path)
}

/**
 * Rules that can never decide, because the rules before them match all that they match: a mistake, and where an earlier
 * one is laxer, a hole. Found are those whose path one earlier pattern covers, for each method; not those whose paths
 * several patterns cover only together.
 * @returns indices: the shadowed rule, and those that shadow it
 * @throws Error as {@link createRouteTable}
 */
export function shadowedRoutes(routes: readonly Route[]): [shadowed: number, by: number[]][] {
  const rules = routes.map(compile)
  return rules.flatMap((later, index): [number, number[]][] => {
    const covering = rules.flatMap((earlier, i) => (i < index && covers(earlier.pattern, later.pattern) ? [i] : []))
    const deciding = methodsOf(later).map((method) => covering.find((i) => methodsOf(rules[i]!).includes(method)))
    return deciding.every((i) => i !== undefined) ? [[index, [...new Set(deciding)].sort((a, b) => a - b)]] : []
  })
}

function methodsOf({ methods }: Rule): readonly string[] {
  return methods.size === 0 ? METHODS : [...methods]
}

function compile(route: Route): Rule {
  const pattern = parsePattern(route.path)
  if (typeof pattern === 'string') throw new Error(`${route.path}: ${pattern}`)
  // GET includes HEAD (RFC 9110 section 9.3.2); no method named means all.
  const methods = new Set(route.methods.includes('GET') ? [...route.methods, 'HEAD'] : route.methods)
  return { route, methods, pattern }
}
