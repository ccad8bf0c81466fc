import { readTarget } from './target.ts'

/** A path pattern taken apart. */
export interface RoutePattern {
  /** A literal segment, percent-decoded, or `undefined` for `*`: any one segment. */
  segments: readonly (string | undefined)[]
  /** Whether a final `**` takes the rest of the path, also none. */
  rest: boolean
}

const MAX_PATTERN_LENGTH = 1024

/**
 * Reads a path pattern: literal segments, `*` for one segment, a final `**` for the rest (also none). A literal may be
 * percent-encoded (`%2A` is a star) and is compared decoded, case-sensitive. A slash at the end makes no difference, for
 * most servers see none.
 * @returns or what is wrong with it; a pattern that no accepted request could match is wrong
 */
export function parsePattern(text: string): RoutePattern | string {
  if (!text.startsWith('/')) return 'a pattern begins with /'
  if (!text.isWellFormed()) return 'a pattern is well-formed Unicode'
  if (text.length > MAX_PATTERN_LENGTH) return `a pattern has at most ${MAX_PATTERN_LENGTH} characters`
  if (/[?#]/.test(text)) return 'a pattern is a path: ? and # have no place in it (write %3F, %23)'
  const parts = text.replace(/\/$/, '').split('/').slice(1)
  const rest = parts.at(-1) === '**'
  const segments: (string | undefined)[] = []
  for (const part of rest ? parts.slice(0, -1) : parts) {
    if (part === '') return 'a segment is not empty'
    if (part === '**') return '** can only be the last segment'
    if (part !== '*' && part.includes('*')) return `* stands for a whole segment (write %2A for a star): ${part}`
    const literal = part === '*' ? undefined : decode(part)
    if (literal === null) return `malformed percent-encoding: ${part}`
    segments.push(literal)
  }
  const example = segments.map((segment) => `/${segment === undefined ? 'x' : encodeURIComponent(segment)}`).join('')
  const target = readTarget('GET', example || '/')
  return target.ok ? { segments, rest } : `no request can match: such a path is refused (${target.reason})`
}

/** The pattern as a regular expression over decoded paths. */
export function patternExpression({ segments, rest }: RoutePattern): RegExp {
  const source = segments.map((segment) => `/${segment === undefined ? '[^/]+' : RegExp.escape(segment)}`).join('')
  return new RegExp(`^${source}${rest ? '(?:/.*)?' : '/?'}$`, 's')
}

/** What every path begins with that the pattern matches. */
export function literalPrefix({ segments }: RoutePattern): string {
  const wildcard = segments.indexOf(undefined)
  return segments
    .slice(0, wildcard === -1 ? segments.length : wildcard)
    .map((segment) => `/${segment}`)
    .join('')
}

/** Whether every path that `narrow` matches is also matched by `wide`. */
export function covers(wide: RoutePattern, narrow: RoutePattern): boolean {
  if (narrow.segments.length < wide.segments.length) return false
  if (!wide.rest && (narrow.rest || narrow.segments.length > wide.segments.length)) return false
  return wide.segments.every((segment, i) => segment === undefined || segment === narrow.segments[i])
}

function decode(part: string): string | null {
  try {
    return decodeURIComponent(part)
  } catch {
    return null
  }
}
