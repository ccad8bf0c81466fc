import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { ROUTE_FIELDS } from '../../sidecar/domain/route-fields.ts'
import { parsePattern, patternExpression } from '../../sidecar/domain/route-pattern.ts'
import { findWarnings } from '../../sidecar/domain/route-warnings.ts'
import { routesSchema } from '../../sidecar/domain/routes-schema.ts'
import { METHODS, readTarget } from '../../sidecar/domain/target.ts'
import { parseRoutesContent } from '../../sidecar/feeds/routes-content.ts'

const read = (path: string) => readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8')
const TEXT = read('docs/routes.md')

test('docs/routes.schema.json is the schema that the code prints', async (t) => {
  // node bin/sallyport.ts check --schema > docs/routes.schema.json
  t.strictSame(JSON.parse(read('docs/routes.schema.json')), routesSchema())
})

test('docs/routes.md has every field of a rule as it is', async (t) => {
  const rows = Object.entries(ROUTE_FIELDS).map(([name, { expects, meaning, schema }]) => {
    const fallback = schema.default === undefined ? '' : `\`${schema.default}\``
    return `| \`${name}\` | ${expects} | ${fallback} | ${meaning} |`
  })
  const [, table] = /<!-- fields -->\n([\s\S]*?)<!-- \/fields -->/.exec(TEXT) ?? []
  t.equal(table, ['| field | value | left out | what it means |', '| --- | --- | --- | --- |', ...rows, ''].join('\n'))
})

test('the examples are right, and none of them surprises', async (t) => {
  for (const [file, least] of [
    ['docs/routes.md', 6],
    ['README.md', 1],
  ] as const) {
    const examples = [...read(file).matchAll(/```(?:yaml|json)\n([\s\S]*?)```/g)].map(([, text]) => text!)
    const routes = examples.filter((text) => /^routes:|"routes":/m.test(text))
    t.ok(routes.length >= least, `${file}: ${routes.length} examples`)
    for (const text of routes) {
      const parsed = parseRoutesContent({ text })
      t.match(parsed, { ok: true }, text)
      t.same(parsed.ok && findWarnings(parsed.routes), [], text)
    }
  }
})

test('the patterns match what their table says', async (t) => {
  const [, table = ''] = /## Patterns\n\n([\s\S]*?)\n\n/.exec(TEXT) ?? []
  const rows = table
    .split('\n')
    .slice(2)
    .map((row) => row.split('|').slice(1, 4))
  t.ok(rows.length > 5)
  const quoted = (cell = '') => [...cell.matchAll(/`([^`]+)`/g)].map(([, text]) => text!)
  for (const [pattern, matching, missing] of rows) {
    const [text = ''] = quoted(pattern)
    const parsed = parsePattern(text)
    if (typeof parsed === 'string') throw new Error(`${text}: ${parsed}`)
    const matches = (path: string) => {
      const target = readTarget(METHODS[0], path)
      return target.ok && patternExpression(parsed).test(target.path)
    }
    for (const path of quoted(matching)) t.equal(matches(path), true, `${text} matches ${path}`)
    for (const path of quoted(missing)) t.equal(matches(path), false, `${text} does not match ${path}`)
  }
})
