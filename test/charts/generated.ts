import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { KNOWN_SETTINGS } from '../../bin/known-settings.ts'
import { ISSUER_SETTINGS } from '../../issuer/settings.ts'
import type { SettingsTable } from '../../shared/settings.ts'
import { SIDECAR_SETTINGS } from '../../sidecar/settings.ts'
import { chartsFolder } from './charts.ts'
import { completeSchema, type Schema } from './complete-schema.ts'
import { readJson, settingsSchema } from './settings-schema.ts'
import { valueRows, valuesTable, withTable } from './values-table.ts'

const SETTINGS: Record<string, SettingsTable> = { issuer: ISSUER_SETTINGS, sidecar: SIDECAR_SETTINGS }

/** The files of a chart of which a part is made from something else, as they have to be. */
export function generated(chart: string): { file: string; content: string }[] {
  const folder = join(chartsFolder, chart)
  const rows = valueRows(readFileSync(join(folder, 'values.yaml'), 'utf8'))
  const readme = join(folder, 'README.md')
  const table = withTable(readFileSync(readme, 'utf8'), valuesTable(rows))
  const file = join(folder, 'values.schema.json')
  const schema = completeSchema(readJson<Schema>(file), rows)
  const settings = SETTINGS[chart]
  if (settings !== undefined) schema.properties!.settings = settingsOf(settings, schema, templatesOf(folder))
  if (chart === 'sidecar') (schema.definitions as Record<string, unknown>).route = routeSchema()
  const files = [
    { file: readme, content: table },
    { file, content: `${JSON.stringify(schema, null, 2)}\n` },
  ]
  const names = {
    sidecar: () => settingsTemplate('sidecar.knownSettings', Object.keys(schema.properties!.settings!.properties!)),
    issuer: () => settingsTemplate('issuer.programSettings', KNOWN_SETTINGS),
    injector: () => settingsTemplate('injector.programSettings', KNOWN_SETTINGS),
  }[chart]
  return names === undefined ? files : [...files, { file: join(folder, 'templates/_settings.tpl'), content: names() }]
}

function settingsOf(table: SettingsTable, { properties }: Schema, templates: string): Schema {
  const { description } = properties!.settings!
  return { ...(description !== undefined && { description }), ...settingsSchema(table, templates) }
}

/** Values of one workload and names in extraEnv are seen by no schema: the templates have to know which settings there are. */
function settingsTemplate(template: string, names: readonly string[]): string {
  const lines = names.map((name) => `- ${name}\n`)
  return `{{- /* Made from the program's settings: node test/charts/write.ts. */ -}}\n{{- define "sallyport.${template}" -}}\n${lines.join('')}{{- end }}\n`
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
