import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ISSUER_SETTINGS } from '../../issuer/settings.ts'
import type { SettingsTable } from '../../shared/settings.ts'
import { SIDECAR_SETTINGS } from '../../sidecar/settings.ts'
import { chartsFolder } from './charts.ts'
import { readJson, settingsSchema } from './settings-schema.ts'
import { valueRows, valuesTable, withTable } from './values-table.ts'

interface Schema {
  properties: Record<string, unknown>
  definitions?: Record<string, unknown>
}

const SETTINGS: Record<string, SettingsTable> = { issuer: ISSUER_SETTINGS, sidecar: SIDECAR_SETTINGS }

/** The files of a chart of which a part is made from something else, as they have to be. */
export function generated(chart: string): { file: string; content: string }[] {
  const folder = join(chartsFolder, chart)
  const readme = join(folder, 'README.md')
  const table = valuesTable(valueRows(readFileSync(join(folder, 'values.yaml'), 'utf8')))
  const files = [{ file: readme, content: withTable(readFileSync(readme, 'utf8'), table) }]
  const settings = SETTINGS[chart]
  if (settings === undefined) return files
  const schema = join(folder, 'values.schema.json')
  const value = readJson<Schema>(schema)
  value.properties.settings = settingsSchema(settings, templatesOf(folder))
  if (chart === 'sidecar') value.definitions!.route = routeSchema()
  return [...files, { file: schema, content: `${JSON.stringify(value, null, 2)}\n` }]
}

function templatesOf(folder: string): string {
  const names = globSync('templates/**/*.tpl', { cwd: folder })
  return names.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n')
}

/** One rule, as editors know it. */
function routeSchema(): unknown {
  return readJson<{ definitions: { route: unknown } }>(join(chartsFolder, '../docs/routes.schema.json')).definitions
    .route
}
