/** A value that JSON or YAML gave, of which nothing is known yet. */
export type Fields = Readonly<Record<string, unknown>>

export function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A member of its own, never one that every object inherits. */
export function member(value: unknown, name: string): unknown {
  return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined
}

/** A list of objects; `undefined` for anything else. What is left out or null, as Go's encoder writes it, is empty. */
export function objects(value: unknown): readonly Fields[] | undefined {
  if (value === undefined || value === null) return []
  return Array.isArray(value) && value.every(isObject) ? value : undefined
}

/** An object of texts; `undefined` for anything else. What is left out or null is empty. */
export function texts(value: unknown): Readonly<Record<string, string>> | undefined {
  if (value === undefined || value === null) return {}
  const allTexts = isObject(value) && Object.values(value).every((text) => typeof text === 'string')
  return allTexts ? (value as Record<string, string>) : undefined
}
