import { COMMON_PASSWORDS } from './common-passwords.ts'
import { fold } from './normal-form.ts'

const MIN_PASSWORD_CHARACTERS = 8
/** Longer ones are refused before anything is hashed: bytes of UTF-8. */
const MAX_PASSWORD_BYTES = 1024

/** The one form in which a password is hashed (NFC), so that it does not depend on the keyboard that typed it. */
export function normalizePassword(password: string): string {
  return password.normalize('NFC')
}

/** Whether it is too long to be anyone's password, or no text at all. */
export function isUnusable(password: string): boolean {
  return Buffer.byteLength(password) > MAX_PASSWORD_BYTES || !password.isWellFormed()
}

/**
 * The rules of NIST SP 800-63B section 3.1.1.2: length, no composition rules, nothing that is guessed first.
 * @param names what the password must not be: the user's name and address
 * @returns a line for each rule that is broken
 */
export function passwordProblems(password: string, names: readonly string[]): string[] {
  if (isUnusable(password)) return [`password: at most ${MAX_PASSWORD_BYTES} bytes of Unicode text`]
  const normal = normalizePassword(password)
  const problems: string[] = []
  if ([...normal].length < MIN_PASSWORD_CHARACTERS)
    problems.push(`password: at least ${MIN_PASSWORD_CHARACTERS} characters`)
  const folded = fold(normal)
  if (isCommon(folded)) problems.push('password: it is one of those that are guessed first')
  if (names.some((name) => isName(folded, name))) problems.push('password: it is the user name or the e-mail address')
  return problems
}

function isName(folded: string, name: string): boolean {
  const known = fold(name)
  return folded === known || folded === known.split('@')[0]
}

// What people add when they are told to change a password: `password` becomes `password123!`.
const ADDITION = /[\d!@#$%^&*._?-]{1,6}$/

function isCommon(folded: string): boolean {
  return COMMON_PASSWORDS.has(folded) || COMMON_PASSWORDS.has(folded.replace(ADDITION, '')) || isRun(folded)
}

/** One character over and over, or neighbours in a row up or down: `aaaaaaaa`, `12345678`, `hgfedcba`. */
function isRun(text: string): boolean {
  const steps = new Set<number>()
  for (let index = 1; index < text.length; index++) steps.add(text.charCodeAt(index) - text.charCodeAt(index - 1))
  const [step] = steps
  return steps.size === 1 && Math.abs(step!) <= 1
}
