/** A JWK Thumbprint (RFC 7638) in base64url: one of 64 begins with the character that options begin with. */
const LIKE_AN_OPTION = /^-[\w-]{42}$/

/**
 * Says of key ids that begin like an option that they are none, as `--` says it (POSIX, Utility Syntax Guideline 10).
 * @param argv as Node has it: program, script, command and so on
 */
export function markKeyIds(argv: readonly string[]): string[] {
  const index = argv[2] === 'keys' ? argv.findIndex((arg) => arg === '--' || LIKE_AN_OPTION.test(arg)) : -1
  return index === -1 || argv[index] === '--' ? [...argv] : argv.toSpliced(index, 0, '--')
}
