import { isObject } from '../../sidecar/injector/domain/document.ts'
import type { ValueRow } from './values-table.ts'

export interface Schema {
  description?: string
  $ref?: string
  properties?: Record<string, Schema>
  required?: string[]
  [keyword: string]: unknown
}

/** What null leaves out: the platform gives its own. */
const MAY_BE_NULL = ['runAsUser', 'runAsGroup', 'fsGroup']
/** What is a team's own as a whole. */
const WHOLE = ['resources']

/**
 * A schema with what values.yaml says of each value; and all of them are needed. Helm drops a value that is null, as a key
 * with nothing after it is, and no default takes its place: a template would read it as off.
 */
export function completeSchema(schema: Schema, rows: readonly ValueRow[]): Schema {
  const whole = structuredClone(schema)
  for (const { name, meaning, default: value } of rows) {
    const keys = name.split('.')
    let at: Schema | undefined = whole
    for (const key of keys) {
      // What is below is another chart's.
      if (at?.properties === undefined) break
      needed(at, [key])
      at = at.properties[key]
    }
    if (at === undefined || at === whole) continue
    at.description = meaning
    if (at.properties !== undefined && isObject(value) && !WHOLE.includes(keys.at(-1)!)) needed(at, Object.keys(value))
  }
  return whole
}

function needed(schema: Schema, names: readonly string[]): void {
  const known = names.filter((name) => schema.properties![name] !== undefined && !MAY_BE_NULL.includes(name))
  const all = [...new Set([...(schema.required ?? []), ...known])]
  if (all.length > 0) schema.required = all
}
