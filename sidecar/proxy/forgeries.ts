import { canonicalHeaderName, type IdentityHeaderNames } from '../../shared/identity-headers.ts'
import { byName } from './by-name.ts'
import { identityNames, isAlias } from './request-headers.ts'

/** What a client says that only the sidecar, or the proxy before it, may say. */
export type Forgery = 'identity_header' | 'field_alias' | 'target_override'

/** Fields by which frameworks take another target or method than the one that is decided on. */
const OVERRIDES = new Set([
  'x-rewrite-url',
  'x-forwarded-path',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'script-name',
  'x-script-name',
  'path-info',
])

/**
 * Finds the fields that the proxy lane takes out of a request. Where the request goes another way than past the sidecar
 * they can't be taken out, so it has to be refused.
 * @returns what finds the first of them among names and values in turn
 */
export function createForgeryFinder(
  names: IdentityHeaderNames,
): (rawHeaders: readonly string[]) => Forgery | undefined {
  const identity = identityNames(names)
  const forgeryOf = byName((name): Forgery | undefined => {
    const canonical = canonicalHeaderName(name)
    if (identity.has(canonical)) return 'identity_header'
    if (isAlias(name)) return 'field_alias'
    return OVERRIDES.has(canonical) ? 'target_override' : undefined
  })
  return (rawHeaders) => {
    for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
      const forgery = forgeryOf(rawHeaders[i]!)
      if (forgery !== undefined) return forgery
    }
    return undefined
  }
}
