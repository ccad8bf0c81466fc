import { readFileSync } from 'node:fs'
import type { SettingsTable } from '../../shared/settings.ts'

type Schema = Record<string, unknown>

/** What the program says a setting should be, and the same as JSON Schema: values are YAML, where `on` is true. */
const KINDS: { expects: RegExp; schema(match: RegExpExecArray): Schema }[] = [
  {
    expects: /^a whole number from (-?\d+) to (-?\d+)$/,
    schema: ([, min, max]) => ({ type: 'integer', minimum: Number(min), maximum: Number(max) }),
  },
  { expects: /^on or off$/, schema: () => ({ enum: [true, false, 'on', 'off', 'true', 'false'] }) },
  { expects: /^one of (.+)$/, schema: ([, names = '']) => ({ enum: names.split(', ') }) },
  { expects: /^a duration/, schema: () => ({ type: 'string', pattern: '^[0-9]{1,9}(ms|s|m|h|d)$' }) },
  {
    expects: /^an address that begins with http/,
    schema: () => ({ type: 'string', pattern: '^https?://[^\\s?#@]+$' }),
  },
  // `off` is among what is right: YAML makes a false of it.
  { expects: /^off, or /, schema: () => ({ anyOf: [{ type: 'string', minLength: 1 }, { const: false }] }) },
  { expects: /^/, schema: () => ({ type: 'string', minLength: 1 }) },
]

/**
 * The schema of a chart's `settings`: every setting of the role but secrets, which have no place in values, and those
 * that the chart derives from other values.
 * @param own the text of the templates that set them: they have those names in quotes
 */
export function settingsSchema(table: SettingsTable, own: string): Schema {
  const free = Object.entries(table).filter(([name, { secret }]) => !secret && !own.includes(`"${name}"`))
  const properties = Object.fromEntries(
    free.map(([name, { kind, meaning }]) => {
      const { schema, match } = KINDS.map((row) => ({ ...row, match: row.expects.exec(kind.expects) })).find(
        ({ match }) => match !== null,
      )!
      return [name, { description: meaning, ...schema(match!) }]
    }),
  )
  return { type: 'object', additionalProperties: false, properties }
}

/** The parsed JSON of a file. */
export const readJson = <T>(file: string): T => JSON.parse(readFileSync(file, 'utf8')) as T
