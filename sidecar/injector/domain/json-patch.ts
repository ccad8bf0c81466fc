/** The one kind of operation that is needed (RFC 6902 section 4.1): it adds a member to an object, or an item to a list. */
export interface AddOperation {
  op: 'add'
  path: string
  value: unknown
}

/** A JSON Pointer (RFC 6901). */
export function pointer(...steps: string[]): string {
  return steps.map((step) => `/${step.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}

/**
 * Puts items at the end of a list. What is there is neither read nor written: numbers beyond 2^53 stay what they are.
 * @param exists whether the list is there already
 */
export function appended(path: string, exists: boolean, items: readonly unknown[]): AddOperation[] {
  if (items.length === 0) return []
  if (!exists) return [{ op: 'add', path, value: items }]
  return items.map((value) => ({ op: 'add', path: `${path}/-`, value }))
}

/** Puts those members into an object that it does not have. */
export function completed(
  path: string,
  present: Readonly<Record<string, unknown>> | undefined,
  members: Readonly<Record<string, unknown>>,
): AddOperation[] {
  const missing = Object.entries(members).filter(([name]) => !present || !Object.hasOwn(present, name))
  if (missing.length === 0) return []
  if (!present) return [{ op: 'add', path, value: Object.fromEntries(missing) }]
  return missing.map(([name, value]) => ({ op: 'add', path: path + pointer(name), value }))
}
