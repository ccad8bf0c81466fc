import type { StoredSigningKey } from '../domain/signing-key.ts'

type Keys = readonly StoredSigningKey[]

/** What has to be written so that a store that holds `before` holds `after`. */
export function differences(before: Keys, after: Keys): { removed: StoredSigningKey[]; stored: StoredSigningKey[] } {
  const kids = new Set(after.map(({ kid }) => kid))
  const known = new Set(before)
  return {
    removed: before.filter(({ kid }) => !kids.has(kid)),
    stored: after.filter((key) => !known.has(key)),
  }
}
