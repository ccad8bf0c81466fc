import { MAX_SCOPE_CHARACTERS } from '../../shared/access-token.ts'

export type NarrowedScope = { ok: true; permissions: string[] } | { ok: false }

/**
 * What of the permissions a request asks for (RFC 6749 section 3.3). A scope can be narrowed, never widened.
 * @param requested words with one space between them; `undefined`: everything
 * @returns not ok when it is malformed or names something that is not among the permissions
 */
export function narrowScope(permissions: readonly string[], requested: string | undefined): NarrowedScope {
  if (requested === undefined) return { ok: true, permissions: [...permissions] }
  const asked = new Set(requested.split(' '))
  if (![...asked].every((word) => permissions.includes(word))) return { ok: false }
  return { ok: true, permissions: permissions.filter((permission) => asked.has(permission)) }
}

/**
 * The scope of an access token: what is left of the permissions after narrowing, as far as a token may carry it.
 * Whatever does not fit is left out whole: readers refuse a longer claim, and so the token.
 * @param narrowedTo a scope; null: all of the permissions
 */
export function fittingScope(permissions: readonly string[], narrowedTo: string | null): string {
  const asked = narrowedTo === null ? undefined : new Set(narrowedTo.split(' '))
  let scope = ''
  for (const permission of permissions) {
    if (asked && !asked.has(permission)) continue
    const longer = scope ? `${scope} ${permission}` : permission
    if (longer.length > MAX_SCOPE_CHARACTERS) break
    scope = longer
  }
  return scope
}
