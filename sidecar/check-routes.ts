import { DEFAULT_ROUTE, type Route } from './domain/route.ts'
import { findWarnings } from './domain/route-warnings.ts'
import { type LocatedProblem, parseRoutesContent, readRoutesContent } from './feeds/routes-content.ts'

export { asksText, servedText } from './domain/route-text.ts'
export { routesSchema } from './domain/routes-schema.ts'
export { DEFAULT_ROUTE, type Route }

export interface CheckedRoutes {
  /** What a sidecar would not start with. */
  problems: LocatedProblem[]
  /** What it would start with, but is likely not meant. */
  warnings: LocatedProblem[]
  /** The rules in their order, each with its line in the file; none when there are problems. */
  routes: { route: Route; line: number }[]
}

/** Reads a routes file as a sidecar does, and looks for what surprises. */
export async function checkRoutesFile(path: string): Promise<CheckedRoutes> {
  const read = parseRoutesContent(await readRoutesContent(path))
  if (!read.ok) return { problems: read.problems, warnings: [], routes: [] }
  return {
    problems: [],
    warnings: findWarnings(read.routes).map(read.locate),
    routes: read.routes.map((route, i) => ({ route, line: read.locate({ place: ['routes', i], message: '' }).line })),
  }
}
