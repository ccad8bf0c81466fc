import type { FastifyInstance } from 'fastify'
import { UnreadableBody } from './problems.ts'

/** Bodies are small everywhere: bytes. */
export const BODY_LIMIT = 16 * 1024

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** JSON is the only content type; an empty body is none. */
export function addJsonParser(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    if (body.length === 0) return done(null, undefined)
    const value = readJson(body as Buffer)
    if (value) return done(null, value.json)
    done(new UnreadableBody('no valid JSON, or a field in it twice'))
  })
}

/**
 * Reads JSON that every reader reads the same (RFC 7493): valid UTF-8, no key twice in an object, no half characters,
 * and no key that means something to JavaScript.
 * @returns `undefined` for anything else
 */
export function readJson(bytes: Buffer): { json: unknown } | undefined {
  try {
    const text = utf8.decode(bytes)
    const json: unknown = JSON.parse(text)
    return isUnambiguous(text) ? { json } : undefined
  } catch {
    return undefined
  }
}

const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\]:]/g

/** @param text valid JSON, so that a string before a colon is a key and brackets match */
function isUnambiguous(text: string): boolean {
  const keysOf: Set<string>[] = []
  let last = ''
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === '{' || token === '[') keysOf.push(new Set())
    else if (token === '}' || token === ']') keysOf.pop()
    else if (token === ':') {
      const keys = keysOf.at(-1)!
      if (keys.has(last) || last === '__proto__') return false
      keys.add(last)
    } else {
      last = JSON.parse(token) as string
      if (!last.isWellFormed()) return false
    }
  }
  return true
}
