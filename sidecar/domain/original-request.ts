export type OriginalRefusal = 'original_missing' | 'original_incomplete' | 'original_ambiguous'

/** The request that a proxy asks about. */
export type OriginalRequest =
  | {
      ok: true
      method: string
      /** The request target as the proxy's client sent it. */
      target: string
    }
  | { ok: false; reason: OriginalRefusal }

type Part = 'method' | 'target'

/** One way to say what was asked for. */
interface Family {
  method: string[]
  target: string[]
}

const FIELDS: Record<string, [family: 'forwarded' | 'original', part: Part]> = {
  // Traefik, Caddy
  'x-forwarded-method': ['forwarded', 'method'],
  'x-forwarded-uri': ['forwarded', 'target'],
  // nginx
  'x-original-method': ['original', 'method'],
  'x-original-uri': ['original', 'target'],
}

/** Absolute where a proxy says it, a path where a client does to mislead a framework. */
const WHOLE_URL = 'x-original-url'
const SCHEME_AND_HOST = /^https?:\/\/[^/?#]*/i

/**
 * Finds the method and the target that a proxy asks about: in its fields, or (Envoy) in the target after the prefix and
 * the method of the question itself. The fields that a proxy does not set are the client's, passed on: whatever of them
 * does not agree with the rest is refused, and the half of one way never completes the half of another.
 * @param own what follows the prefix, when something does, and the method of the question
 * @param rawHeaders names and values in turn, as received
 */
export function readOriginalRequest(
  own: { method: string; target: string | undefined },
  rawHeaders: readonly string[],
): OriginalRequest {
  const said: Record<'own' | 'forwarded' | 'original', Family> = {
    own: { method: [], target: [] },
    forwarded: { method: [], target: [] },
    original: { method: [], target: [] },
  }
  if (own.target !== undefined) said.own = { method: [own.method], target: [own.target] }
  const urls: string[] = []
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!.toLowerCase()
    if (name === WHOLE_URL) urls.push(rawHeaders[i + 1]!.replace(SCHEME_AND_HOST, ''))
    if (!Object.hasOwn(FIELDS, name)) continue
    const [family, part] = FIELDS[name]!
    said[family][part].push(rawHeaders[i + 1]!)
  }

  const families = Object.values(said)
  const whole = families.find(({ method, target }) => method.length > 0 && target.length > 0)
  if (whole === undefined) {
    const isSilent = families.every(({ method, target }) => method.length === 0 && target.length === 0)
    return { ok: false, reason: isSilent ? 'original_missing' : 'original_incomplete' }
  }
  const method = whole.method[0]!
  const target = whole.target[0]!
  const agree =
    families.every((family) => isOnly(family.method, method) && isOnly(family.target, target)) && isOnly(urls, target)
  return agree ? { ok: true, method, target } : { ok: false, reason: 'original_ambiguous' }
}

/** Nothing was said, or this and once. */
function isOnly(values: readonly string[], value: string): boolean {
  return values.length === 0 || (values.length === 1 && values[0] === value)
}
