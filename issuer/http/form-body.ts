import type { FastifyInstance } from 'fastify'
import { UnreadableBody } from './problems.ts'

const MAX_PARAMETERS = 32

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Accepts `application/x-www-form-urlencoded` on the routes of this context, beside JSON. */
export function addFormParser(app: FastifyInstance): void {
  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'buffer' }, (_request, body, done) => {
    const form = readForm(body as Buffer)
    if (form) return done(null, form)
    done(new UnreadableBody('no valid form, or a parameter in it twice'))
  })
}

/**
 * Reads a form as RFC 6749 appendix B writes it, and only what every reader reads the same: valid UTF-8, whole percent
 * encodings, no parameter twice (section 3.2).
 * @returns `undefined` for anything else
 */
export function readForm(bytes: Buffer): Record<string, string> | undefined {
  try {
    const pairs = utf8
      .decode(bytes)
      .split('&')
      .filter((pair) => pair !== '')
    const form = new Map<string, string>()
    for (const pair of pairs) {
      const equals = pair.indexOf('=')
      const name = decodeFormText(equals < 0 ? pair : pair.slice(0, equals))
      if (form.has(name) || form.size === MAX_PARAMETERS) return undefined
      form.set(name, equals < 0 ? '' : decodeFormText(pair.slice(equals + 1)))
    }
    return Object.fromEntries(form)
  } catch {
    return undefined
  }
}

/** Decodes one name or value of a form. @throws URIError when a percent encoding is broken or is not UTF-8 */
export function decodeFormText(text: string): string {
  return decodeURIComponent(text.replaceAll('+', ' '))
}
