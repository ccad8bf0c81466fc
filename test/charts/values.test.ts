import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'
import { chartNames, chartsFolder } from './charts.ts'
import { generated } from './generated.ts'
import { readJson } from './settings-schema.ts'
import { valueRows } from './values-table.ts'

interface Schema {
  type?: string
  $ref?: string
  properties?: Record<string, Schema>
  additionalProperties?: unknown
}

for (const chart of chartNames) {
  const folder = join(chartsFolder, chart)
  const rows = valueRows(readFileSync(join(folder, 'values.yaml'), 'utf8'))
  const schema = readJson<Schema>(join(folder, 'values.schema.json'))

  test(`${chart}: is of the version of the program`, async (t) => {
    const { version } = readJson<{ version: string }>(join(chartsFolder, '../package.json'))
    const { appVersion, dependencies = [] } = parse(readFileSync(join(folder, 'Chart.yaml'), 'utf8'))
    t.equal(appVersion, version)
    const ownTag = rows.find(({ name }) => name === 'image.tag')?.default
    t.ok([undefined, '', version].includes(ownTag as string), 'the tag of the image')
    for (const { name, version: wanted } of dependencies) {
      t.equal(wanted, parse(readFileSync(join(chartsFolder, name, 'Chart.yaml'), 'utf8')).version, name)
    }
  })

  test(`${chart}: what is made from values and settings is up to date (node test/charts/write.ts)`, async (t) => {
    for (const { file, content } of generated(chart)) t.equal(readFileSync(file, 'utf8'), content, file)
  })

  test(`${chart}: every value says what it means`, async (t) => {
    t.ok(rows.length > 0)
    for (const { name, meaning } of rows) t.ok(meaning, name)
  })

  test(`${chart}: the schema has every value, and nothing else is let through`, async (t) => {
    for (const { name } of rows) {
      // What is the library's is in its schema.
      if (chart === 'example' && name.startsWith('sidecar.')) continue
      let at: Schema | undefined = schema
      for (const key of name.split('.')) {
        // What is global is other charts' as well.
        if (at !== schema.properties?.global) t.equal(at?.additionalProperties, false, `${name}: objects above ${key}`)
        at = at?.properties?.[key]
      }
      t.ok(at, name)
    }
    t.ok(schema.properties?.global, 'global, which Helm adds to the values of charts within others')
  })

  test(`${chart}: the schema has nothing that is no value`, async (t) => {
    const names = rows.map(({ name }) => name)
    const isKnown = (path: string) =>
      names.some((name) => name === path || name.startsWith(`${path}.`) || path.startsWith(`${name}.`))
    const walk = (at: Schema, path: string): void => {
      for (const [key, child] of Object.entries(at.properties ?? {})) {
        const own = path === '' ? key : `${path}.${key}`
        if (own !== 'global') t.ok(isKnown(own), own)
        walk(child, own)
      }
    }
    walk(schema, '')
  })
}
