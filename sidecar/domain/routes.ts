import { DEFAULT_ROUTE, type Route } from './route.ts'
import { covers, literalPrefix, parsePattern, patternExpression, type RoutePattern } from './route-pattern.ts'

/** The rules in their order, ready to be asked. */
export interface RouteTable {
  readonly routes: readonly Route[]
  /**
   * The first rule that matches, or {@link DEFAULT_ROUTE}.
   * @param method one that `readTarget` let pass; a rule for GET is one for HEAD too
   * @param path the decoded path of `readTarget`
   */
  match(method: string, path: string): Route
}

interface Rule {
  route: Route
  methods: ReadonlySet<string>
  pattern: RoutePattern
}

/** @throws Error when a route's pattern is malformed; those of `parseRoutes` are not */
export function createRouteTable(routes: readonly Route[]): RouteTable {
  const rules = routes.map(compile).map(({ route, methods, pattern }) => ({
    route,
    methods,
    prefix: literalPrefix(pattern),
    expression: patternExpression(pattern),
  }))
  return {
    routes,
    match(method, path) {
      for (const { route, methods, prefix, expression } of rules) {
        if (!path.startsWith(prefix) || (methods.size > 0 && !methods.has(method))) continue
        if (expression.test(path)) return route
      }
      return DEFAULT_ROUTE
    },
  }
}

/**
 * Rules that can never decide, because one rule before them matches all that they match: a mistake, and where the
 * earlier one is laxer, a hole.
 * @returns pairs of indices: the shadowed rule, and the first that shadows it
 * @throws Error as {@link createRouteTable}
 */
export function shadowedRoutes(routes: readonly Route[]): [shadowed: number, by: number][] {
  const rules = routes.map(compile)
  return rules.flatMap((later, index): [number, number][] => {
    const by = rules.findIndex((earlier, i) => i < index && shadows(earlier, later))
    return by === -1 ? [] : [[index, by]]
  })
}

function compile(route: Route): Rule {
  const pattern = parsePattern(route.path)
  if (typeof pattern === 'string') throw new Error(`${route.path}: ${pattern}`)
  // GET includes HEAD (RFC 9110 section 9.3.2); no method named means all.
  const methods = new Set(route.methods.includes('GET') ? [...route.methods, 'HEAD'] : route.methods)
  return { route, methods, pattern }
}

function shadows(earlier: Rule, later: Rule): boolean {
  const allMethods = earlier.methods.size === 0 || (later.methods.size > 0 && later.methods.isSubsetOf(earlier.methods))
  return allMethods && covers(earlier.pattern, later.pattern)
}
