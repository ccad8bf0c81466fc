import type { Route } from '../sidecar/check-routes.ts'
import type { ExplainedRequest } from '../sidecar/explain-request.ts'
import { columns } from './columns.ts'

type Outcome = ExplainedRequest['steps'][number]['outcome']

const MARKS: Record<'terminal' | 'plain', Record<Outcome, string>> = {
  terminal: { passed: '✓', failed: '✗', unknown: '?', skipped: '-' },
  plain: { passed: 'ok', failed: 'NO', unknown: '??', skipped: '-' },
}

/** How many rules that do not match are listed: the first of them, and all whose path matches. */
const MAX_PASSED_OVER = 20

/** The steps of a decision, one below the other, and its verdict. */
export function explainedLines(
  method: string,
  explained: ExplainedRequest,
  lineOf: (route: Route) => number | undefined,
  terminal: boolean,
): string[] {
  const { target, steps, passedOver, notes } = explained
  const marks = MARKS[terminal ? 'terminal' : 'plain']
  const listed = passedOver.filter(({ pathMatches }, i) => pathMatches || i < MAX_PASSED_OVER)
  const before = columns(
    listed.map(({ route, methodMatches, pathMatches }) => [
      `  line ${lineOf(route)}`,
      route.name,
      [!pathMatches && `path: not ${route.path}`, !methodMatches && `method: not ${route.methods.join(', ')}`]
        .filter(Boolean)
        .join('; '),
    ]),
  )
  return [
    `${method} ${target}`,
    '',
    ...columns(steps.map(({ name, outcome, found }) => [marks[outcome], name, found])),
    '',
    ...(before.length > 0 ? ['Rules before it that do not match:', ...before, ...omitted(passedOver, listed), ''] : []),
    ...notes.map((note) => `Note: ${note}`),
    verdictLine(explained),
  ]
}

function omitted(all: readonly unknown[], listed: readonly unknown[]): string[] {
  return all.length > listed.length ? [`  and ${all.length - listed.length} more`] : []
}

function verdictLine({ verdict, decision, status, steps }: ExplainedRequest): string {
  if (!decision.allow) return `Refused: ${status} ${decision.code} (${decision.reason})`
  const wasAsked = (name: string) => steps.some((step) => step.name === name && step.outcome === 'unknown')
  if (verdict === 'undecided') return 'Undecided: the signature was not checked; all else speaks for it'
  return wasAsked('revoked?') ? 'Let in, unless it was revoked' : 'Let in'
}

/** The same for programs. */
export function explainedJson(method: string, explained: ExplainedRequest) {
  const { verdict, decision, status, steps, passedOver, notes, target } = explained
  const refusal = decision.allow ? {} : { status, code: decision.code, reason: decision.reason }
  return {
    method,
    target,
    verdict,
    ...refusal,
    route: decision.route?.name,
    steps,
    passed_over: passedOver.map(({ route, methodMatches, pathMatches }) => ({
      route: route.name,
      method_matches: methodMatches,
      path_matches: pathMatches,
    })),
    notes,
  }
}
