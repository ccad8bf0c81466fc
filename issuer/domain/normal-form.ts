import { domainToASCII } from 'node:url'

/** A name as the user wrote it (NFC), and the form in which all its spellings are one. */
export interface NormalForm {
  text: string
  key: string
}

const MAX_EMAIL = 255
export const MAX_USERNAME = 50
const MAX_LOCAL_PART = 64
const MAX_FOLDING_ROUNDS = 4

// What can't be seen would let two addresses look like one; what controls direction, one like another.
const INVISIBLE = /[\p{Default_Ignorable_Code_Point}\p{C}\p{Z}]/u
// RFC 5321 dot-atoms, with the letters of RFC 6531. Quoted local parts are refused: no two readers agree on them.
const ATOM = "[\\p{L}\\p{M}\\p{N}!#$%&'*+/=?^_`{|}~-]+"
const DOT_ATOM = new RegExp(`^${ATOM}(?:\\.${ATOM})*$`, 'u')
// Nothing that a URL parser would take for the end of the host, a port or an escape.
const DOMAIN_AS_WRITTEN = /^[\p{L}\p{M}\p{N}.。．｡-]+$/u
const DOMAIN = /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])$/
const USERNAME = /^[\p{L}\p{N}][\p{L}\p{M}\p{N}._-]*$/u

/**
 * One form for case, composition and width: compatibility normalisation and case folding, without regard to locale.
 * Upper case first: ß and SS, both sigmas and the KELVIN SIGN meet there.
 */
export function fold(text: string): string {
  let folded = text
  for (let round = 0; round < MAX_FOLDING_ROUNDS; round++) {
    const next = folded.normalize('NFKC').toUpperCase().toLowerCase().replaceAll('ς', 'σ').normalize('NFKC')
    if (next === folded) break
    folded = next
  }
  return folded
}

/** Reads an e-mail address; `undefined` when it is none that could be delivered to and told apart from others. */
export function readEmail(input: string): NormalForm | undefined {
  if (input.length > MAX_EMAIL || !input.isWellFormed() || INVISIBLE.test(input)) return undefined
  const text = input.normalize('NFC')
  const at = text.indexOf('@')
  if (text.length > MAX_EMAIL || at < 1 || text.indexOf('@', at + 1) !== -1) return undefined
  const local = fold(text.slice(0, at))
  const written = text.slice(at + 1)
  if (!DOMAIN_AS_WRITTEN.test(written)) return undefined
  const domain = domainToASCII(written).toLowerCase()
  if (local.length > MAX_LOCAL_PART || !DOT_ATOM.test(local)) return undefined
  if (domain.length > MAX_EMAIL - MAX_LOCAL_PART || !DOMAIN.test(domain)) return undefined
  return { text, key: `${local}@${domain}` }
}

/** Reads a user name: letters, digits, `.`, `_` and `-`; never anything that could be an e-mail address. */
export function readUsername(input: string): NormalForm | undefined {
  if (input.length > 4 * MAX_USERNAME || !input.isWellFormed() || INVISIBLE.test(input)) return undefined
  const text = input.normalize('NFC')
  if ([...text].length > MAX_USERNAME || !USERNAME.test(text)) return undefined
  const key = fold(text)
  return USERNAME.test(key) ? { text, key } : undefined
}
