/** The methods that are forwarded (RFC 9110 section 9.3, RFC 5789). CONNECT and TRACE are none of an application's. */
export const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const

/** A request target longer than this is refused: bytes. */
export const MAX_TARGET_BYTES = 8192

export type TargetRefusal =
  | 'method'
  | 'target_form'
  | 'target_length'
  | 'target_characters'
  | 'path_characters'
  | 'path_segments'
  | 'path_escapes'

export type Target =
  | {
      ok: true
      /** The request target as it was sent, which is what is forwarded. */
      value: string
      /** The path, percent-decoded once: what routes match on. Equal to what was sent where nothing was encoded. */
      path: string
    }
  | { ok: false; reason: TargetRefusal }

const KNOWN_METHODS: ReadonlySet<string> = new Set(METHODS)

// `pchar` of RFC 3986 section 3.3 but for two: no `;`, which some servers cut off with all that follows it, and `%` is
// looked at separately. And `[ ] ^ |`, which browsers send unencoded and nobody reads differently.
const PATH_CHARACTERS = /^[/A-Za-z0-9\-._~!$&'()*+,=:@[\]^|%]*$/

// An empty segment, one of dots alone, or a space at either end of one: parsers drop it, resolve it or keep it. The last
// segment may be empty.
const AMBIGUOUS_SEGMENT = /\/\.*\/|\/\.+$|\/ | (?:\/|$)/

// Escapes that some parsers decode before they split or compare a path and others do not: control characters, `/ \ ;`,
// everything that never needs one (RFC 3986 section 2.3), and `%25` before two hex digits, which is an escape again to
// whoever decodes twice. `%7E` alone is let pass: encoders of RFC 1738's time write `~` so.
const AMBIGUOUS_ESCAPE =
  /%(?:[01]|2[DEFdef]|3[0-9Bb]|4[1-9A-Fa-f]|5[0-9AaCcFf]|6[1-9A-Fa-f]|7[0-9AaFf]|25[0-9A-Fa-f]{2})/

// U+0080 to U+009F are control characters too, once decoded.
const C1_CONTROL = /[\u0080-\u009f]/

const refused = (reason: TargetRefusal): Target => ({ ok: false, reason })

/**
 * Reads a request's target: origin-form only (RFC 9112 section 3.2.1), of one of {@link METHODS}. Whatever two parsers
 * could read differently is refused instead of being made unambiguous, so that what is matched is what is forwarded,
 * byte for byte; `OPTIONS *` and the absolute form are refused too. The query is not read, only kept free of characters
 * that no target may have.
 * @param method as it was sent: methods are case-sensitive
 * @param target as it was sent, at most {@link MAX_TARGET_BYTES}
 */
export function readTarget(method: string, target: string): Target {
  if (!KNOWN_METHODS.has(method)) return refused('method')
  if (target.length > MAX_TARGET_BYTES) return refused('target_length')
  if (!target.startsWith('/')) return refused('target_form')
  if (/[^!-~]|#/.test(target)) return refused('target_characters')
  const query = target.indexOf('?')
  const raw = query === -1 ? target : target.slice(0, query)
  if (!PATH_CHARACTERS.test(raw)) return refused('path_characters')
  const path = raw.includes('%') ? decode(raw) : raw
  if (path === undefined) return refused('path_escapes')
  return AMBIGUOUS_SEGMENT.test(path) ? refused('path_segments') : { ok: true, value: target, path }
}

/** Decodes a path in which every escape has one meaning; `undefined` for any other, and for what is not UTF-8. */
function decode(raw: string): string | undefined {
  if (AMBIGUOUS_ESCAPE.test(raw)) return undefined
  try {
    const path = decodeURIComponent(raw)
    return C1_CONTROL.test(path) ? undefined : path
  } catch {
    return undefined
  }
}
