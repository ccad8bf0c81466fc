import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from 'yaml'

export interface ValueRow {
  /** The path with dots. */
  name: string
  default: unknown
  /** The comment above it. */
  meaning: string
}

/**
 * The values of a chart: each scalar, list and map in braces with the comment above it; other maps are walked into.
 * @param text a values.yaml
 */
export function valueRows(text: string): ValueRow[] {
  const { contents, commentBefore } = parseDocument(text)
  if (!isMap(contents)) return []
  return rowsOf(contents, '', commentBefore ?? contents.commentBefore ?? '')
}

function rowsOf(map: YAMLMap, prefix: string, commentOfFirst: string): ValueRow[] {
  return map.items.flatMap((item, index) => {
    const { key, value } = item as Pair<{ value: string; commentBefore?: string }, unknown>
    const name = prefix === '' ? key.value : `${prefix}.${key.value}`
    const comment = (index === 0 ? commentOfFirst : '') || key.commentBefore || ''
    if (isMap(value) && !value.flow) return rowsOf(value, name, value.commentBefore ?? '')
    const meaning = comment.replace(/\n /g, ' ').trim()
    return [{ name, default: isScalar(value) ? value.value : (value as YAMLMap).toJSON(), meaning }]
  })
}

/** The rows as a table of the README. */
export function valuesTable(rows: readonly ValueRow[]): string {
  const shown = (value: unknown) =>
    value === '' || value === null ? '' : `\`${JSON.stringify(value).replaceAll('|', '\\|')}\``
  const lines = rows.map(
    ({ name, default: value, meaning }) => `| \`${name}\` | ${shown(value)} | ${meaning.replaceAll('|', '\\|')} |`,
  )
  return ['| value | default | what it means |', '| --- | --- | --- |', ...lines].join('\n')
}

const MARKED = /(<!-- values -->\n)[\s\S]*?(\n<!-- \/values -->)/

/** The README with the table in its place. Throws an error where that is not marked. */
export function withTable(readme: string, table: string): string {
  if (!MARKED.test(readme)) throw new Error('the README has no <!-- values --> … <!-- /values -->')
  return readme.replace(MARKED, (_all, start: string, end: string) => `${start}${table}${end}`)
}
