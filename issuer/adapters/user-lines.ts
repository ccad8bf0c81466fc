import { RECORD_FIELDS, type RecordField } from '../domain/user-record.ts'

/** Reads one line as the record of a user; `undefined` when it is none. */
export type ReadLine = (line: string) => unknown

/** A line of JSON. */
export const readJsonLine: ReadLine = (line) => {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

/**
 * @param header the first line of a CSV file: names of fields
 * @returns how its other lines are read; `undefined` when it is no such header
 */
export function csvReader(header: string): ReadLine | undefined {
  const names = parseCsvLine(header)?.map((name) => name.trim())
  if (!names?.every((name) => RECORD_FIELDS.includes(name as RecordField))) return undefined
  if (new Set(names).size < names.length) return undefined
  return (line) => {
    const values = parseCsvLine(line)
    if (values?.length !== names.length) return undefined
    const given = names.map((name, index) => [name, values[index]!] as const).filter(([, value]) => value !== '')
    return Object.fromEntries(given.map(([name, value]) => [name, typed(name, value)]))
  }
}

const BOOLEANS = new Map<string, boolean>([
  ['true', true],
  ['1', true],
  ['false', false],
  ['0', false],
])

/** What the text of a CSV field means; roles are separated by spaces, commas or semicolons. */
function typed(name: string, value: string): unknown {
  if (name === 'roles') return value.split(/[\s,;]+/).filter((role) => role !== '')
  return name.startsWith('is_') ? (BOOLEANS.get(value.toLowerCase()) ?? value) : value
}

const FIELD = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y

/** The fields of one line (RFC 4180; a field can't go on in the next line); `undefined` when quotes don't match. */
export function parseCsvLine(line: string): string[] | undefined {
  const fields: string[] = []
  FIELD.lastIndex = 0
  for (;;) {
    const match = FIELD.exec(line)
    if (!match) return undefined
    fields.push(match[1]?.replaceAll('""', '"') ?? match[2]!)
    if (match[3] === '') return fields
  }
}
