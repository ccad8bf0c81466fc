import { text } from 'node:stream/consumers'
import {
  asksText,
  type CheckedRoutes,
  checkRoutesFile,
  DEFAULT_ROUTE,
  type Route,
  routesSchema,
  servedText,
} from '../sidecar/check-routes.ts'
import { explainedJson, explainedLines } from './check-explained.ts'
import { columns, printable, printableJson } from './columns.ts'

export interface CheckOptions {
  json?: boolean
  schema?: boolean
  /** Method and URL. */
  explain?: string[]
  token?: string
  issuer?: string
  jwks?: string
}

/** What `--explain` ends with; 1 is for what is wrong with the file or the command. */
const EXIT = { allowed: 0, refused: 2, undecided: 3 } as const

/**
 * Checks a routes file and prints what is wrong with it and its rules in their order; or, with `explain`, how one request
 * would be decided. Exit code 1 for problems, otherwise 0, with `explain` 2 for refused and 3 for undecided.
 * @param file by default ROUTES_FILE
 */
export async function check(env: NodeJS.ProcessEnv, file: string | undefined, options: CheckOptions): Promise<void> {
  if (options.schema) return printJson(routesSchema(), 2)
  const path = file ?? env.ROUTES_FILE
  if (!path) throw new Error('which file? Name it, or set ROUTES_FILE')
  const [method, url, ...more] = options.explain ?? []
  if (options.explain && (method === undefined || url === undefined || more.length > 0)) {
    throw new Error(
      '--explain: a method and a URL are needed, such as --explain GET /admin/users; FILE comes before it',
    )
  }
  const checked = await checkRoutesFile(path)
  if (checked.problems.length > 0) process.exitCode = 1
  if (checked.problems.length > 0 || method === undefined || url === undefined) {
    return options.json ? printJson(checkedJson(path, checked)) : print(checkedLines(path, checked))
  }
  // It brings the decision path with it, which checking a file does without.
  const { explainRequest } = await import('../sidecar/explain-request.ts')
  const explained = await explainRequest({
    routes: checked.routes.map(({ route }) => route),
    method,
    url,
    token: await readToken(env, options.token),
    issuer: options.issuer,
    jwksFile: options.jwks,
    env,
  })
  const lineOf = (route: Route) => checked.routes.find((rule) => rule.route === route)?.line
  process.exitCode = EXIT[explained.verdict]
  if (options.json) return printJson(explainedJson(method, explained))
  print(explainedLines(method, explained, lineOf, process.stdout.isTTY === true))
}

const MAX_TOKEN_CHARACTERS = 64 * 1024

/** The token itself, from standard input, or from SALLYPORT_TOKEN: other users of a machine see a process's arguments. */
async function readToken(env: NodeJS.ProcessEnv, given: string | undefined): Promise<string | undefined> {
  const token = given === '-' ? await text(process.stdin) : (given ?? (env.SALLYPORT_TOKEN || undefined))
  if (token === undefined) return undefined
  if (token.length > MAX_TOKEN_CHARACTERS) throw new Error('--token: this is too long to be a token')
  return token.trim()
}

function checkedLines(file: string, { problems, warnings, routes }: CheckedRoutes): string[] {
  const found = [
    ...problems.map((one) => ({ ...one, kind: 'error' })),
    ...warnings.map((one) => ({ ...one, kind: 'warning' })),
  ]
  const lines = found.map(
    ({ line, column, kind, place, message }) =>
      `${file}:${line}:${column}: ${kind}: ${place === '' ? '' : `${place}: `}${message}`,
  )
  if (problems.length > 0)
    return [...lines, `${file}: ${count(problems.length, 'problem')}; a sidecar keeps the rules before`]
  const rows = routes.map(({ route, line }) => [String(line), ...routeRow(route)])
  const table = columns([
    ['line', 'methods', 'path', 'access', 'asks for', 'served'],
    ...rows,
    ['-', ...routeRow({ ...DEFAULT_ROUTE, path: 'all else' })],
  ])
  const open = routes.filter(({ route }) => route.access !== 'required').map(({ route }) => route.name)
  return [
    ...table,
    '',
    ...lines,
    `${file}: ${count(routes.length, 'route')}, ${count(warnings.length, 'warning')}; without a token: ${open.join(', ') || 'none'}`,
  ]
}

function routeRow(route: Route): string[] {
  const { methods, path, access } = route
  return [methods.join(', ') || 'all', path, access, asksText(route), servedText(route)]
}

function checkedJson(file: string, { problems, warnings, routes }: CheckedRoutes) {
  return {
    file,
    ok: problems.length === 0,
    problems,
    warnings,
    routes: routes.map(({ route, line }) => ({ line, ...route })),
  }
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}

function print(lines: string[]): void {
  process.stdout.write(`${lines.map(printable).join('\n')}\n`)
}

function printJson(value: unknown, indent?: number): void {
  process.stdout.write(`${printableJson(JSON.stringify(value, null, indent))}\n`)
}
