import { pbkdf2, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { verify as verifyArgon2 } from '@node-rs/argon2'
import type { ParsedHash } from '../domain/password-hash.ts'

const derive = promisify(pbkdf2)

/**
 * Whether the password is that of the hash. All of it runs on libuv's pool, so only within the hashing lane.
 * @param hash as stored
 * @param parsed the same, affordable
 */
export async function verifyHash(hash: string, parsed: ParsedHash, password: string): Promise<boolean> {
  switch (parsed.scheme) {
    case 'bcrypt': {
      // Few deployments have such users, and soon none: it is loaded when the first logs in.
      const { verify } = await import('@node-rs/bcrypt')
      return verify(password, hash)
    }
    case 'pbkdf2': {
      const { digest, iterations, salt, key } = parsed
      return timingSafeEqual(await derive(password, salt, iterations, key.length, digest), key)
    }
    default:
      return verifyArgon2(hash, password)
  }
}
