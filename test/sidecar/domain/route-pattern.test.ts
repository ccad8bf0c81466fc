import fc from 'fast-check'
import { test } from 'tap'
import {
  covers,
  literalPrefix,
  parsePattern,
  patternExpression,
  type RoutePattern,
} from '../../../sidecar/domain/route-pattern.ts'

function pattern(text: string): RoutePattern {
  const parsed = parsePattern(text)
  if (typeof parsed === 'string') throw new Error(`${text}: ${parsed}`)
  return parsed
}

const ROWS: [pattern: string, matches: string[], misses: string[]][] = [
  ['/', ['/'], ['/a', '/a/']],
  ['/**', ['/', '/a', '/a/', '/a/b/c'], []],
  ['/a', ['/a', '/a/'], ['/', '/A', '/ab', '/a/b', '/b/a', '/aa']],
  ['/a/', ['/a', '/a/'], ['/a/b']],
  ['/a/b', ['/a/b', '/a/b/'], ['/a', '/a/bc', '/a/b/c', '/x/a/b']],
  ['/*', ['/a', '/a/', '/a.b'], ['/', '/a/b']],
  ['/a/*', ['/a/b', '/a/b/'], ['/a', '/a/', '/a/b/c']],
  ['/a/*/c', ['/a/b/c', '/a/*/c', '/a/b/c/'], ['/a/c', '/a/b/b/c', '/a/b/C']],
  ['/a/**', ['/a', '/a/', '/a/b', '/a/b/c/'], ['/', '/ab', '/b/a']],
  ['/*/a/**', ['/x/a', '/x/a/b'], ['/a', '/a/b', '/x/b']],
  ['/v1.0', ['/v1.0'], ['/v1x0', '/v1']],
  ['/a+(b)[c]|d^$', ['/a+(b)[c]|d^$'], ['/a', '/aa(b)c|d^$', '/d^$']],
  ['/caf%C3%A9', ['/café'], ['/cafe', '/caf%C3%A9']],
  ['/café', ['/café'], ['/cafe']],
  ['/my file', ['/my file'], ['/my%20file', '/myfile']],
  ['/%2A', ['/*'], ['/a', '/%2A']],
  ['/a%40b', ['/a@b'], ['/a%40b']],
]

test('a pattern matches whole paths, segment by segment', async (t) => {
  for (const [text, matches, misses] of ROWS) {
    const expression = patternExpression(pattern(text))
    for (const path of matches) t.equal(expression.test(path), true, `${text} matches ${path}`)
    for (const path of misses) t.equal(expression.test(path), false, `${text} does not match ${path}`)
    const prefix = literalPrefix(pattern(text))
    for (const path of matches) t.ok(path.startsWith(prefix), `${path} begins with ${prefix}`)
  }
})

const WRONG: [name: string, pattern: string, problem: RegExp][] = [
  ['nothing', '', /begins with/],
  ['no slash', 'a', /begins with/],
  ['too long', `/${'a'.repeat(1024)}`, /at most/],
  ['a query', '/a?b', /\?/],
  ['a fragment', '/a#b', /#/],
  ['two slashes', '//', /not empty/],
  ['an empty segment', '/a//b', /not empty/],
  ['** in the middle', '/**/a', /last/],
  ['** twice', '/a/**/**', /last/],
  ['a star in a segment', '/a*', /%2A/],
  ['three stars', '/***', /%2A/],
  ['a bad escape', '/%zz', /percent/],
  ['not UTF-8', '/%ff', /percent/],
  ['half a character', '/\ud800', /Unicode/],
  ['a dot segment', '/a/../b', /path_segments/],
  ['an encoded slash', '/a%2fb', /path_escapes/],
  ['an encoded dot segment', '/%2e%2e', /path_segments/],
  ['a backslash', '/a\\b', /path_escapes/],
  ['a semicolon', '/a;b', /path_escapes/],
  ['a control character', '/a\tb', /path_escapes/],
]

test('a pattern that no request can match is wrong', async (t) => {
  for (const [name, text, problem] of WRONG) t.match(parsePattern(text), problem, name)
})

const segment = fc.constantFrom('a', 'b', '*')
const anyPattern = fc
  .tuple(fc.array(segment, { maxLength: 4 }), fc.boolean())
  .map(([segments, rest]) => `/${[...segments, ...(rest ? ['**'] : [])].join('/')}`)
const anyPath = fc
  .tuple(fc.array(fc.constantFrom('a', 'b', 'c', 'ab'), { maxLength: 5 }), fc.boolean())
  .map(([segments, slash]) => `/${segments.join('/')}${slash && segments.length > 0 ? '/' : ''}`)

/** What a pattern means, said another way. */
function matches(patternParts: string[], pathParts: string[]): boolean {
  const [first, ...others] = patternParts
  if (first === undefined) return pathParts.length === 0
  if (first === '**') return true
  const [part, ...rest] = pathParts
  return part !== undefined && (first === '*' || first === part) && matches(others, rest)
}

const parts = (path: string) => path.split('/').filter((part) => part !== '')

test('the expression matches what the pattern says', async () => {
  fc.assert(
    fc.property(
      anyPattern,
      anyPath,
      (text, path) => patternExpression(pattern(text)).test(path) === matches(parts(text), parts(path)),
    ),
    { numRuns: 3000 },
  )
})

test('one pattern covers another exactly when no path tells them apart', async () => {
  const longer = (paths: string[][]) => paths.flatMap((path) => ['a', 'b', 'c'].map((part) => [...path, part]))
  const paths: string[][] = []
  for (let level: string[][] = [[]]; level[0]!.length <= 6; level = longer(level)) paths.push(...level)
  fc.assert(
    fc.property(anyPattern, anyPattern, (wide, narrow) => {
      const told = paths.some((path) => matches(parts(narrow), path) && !matches(parts(wide), path))
      return covers(pattern(wide), pattern(narrow)) === !told
    }),
    { numRuns: 1000 },
  )
})
