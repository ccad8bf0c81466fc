import { AUDIENCE, ISSUER, type Target } from './parties.ts'
import { createKey, signToken } from './tokens.ts'

/** Beyond every leeway: seconds. Envoy allows a minute. */
const LONG_AGO_S = 3600

/**
 * Whether a party does what it is measured for: a good token is let in; none, one of another key under the same name, a
 * changed one, an expired one and one of another issuer are not.
 * @throws Error that says what it did instead
 */
export async function checkAtWork({ name, url, key }: Target): Promise<void> {
  const expect = async (what: string, status: number, token?: string) => {
    const response = await fetch(
      `${url}/items/1`,
      token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } },
    )
    await response.arrayBuffer()
    if (response.status !== status)
      throw new Error(`${name}: ${what} was answered with ${response.status}, not ${status}`)
  }
  if (!key) return expect('a request', 200)
  const good = signToken(key, ISSUER, AUDIENCE)
  const [header, , signature] = good.split('.')
  const other = signToken(key, ISSUER, AUDIENCE).split('.')[1]
  const stranger = { ...createKey(key.alg as 'ES256' | 'RS256').pair, kid: key.kid }
  await expect('a good token', 200, good)
  await expect('no token', 401)
  await expect("another key's token", 401, signToken(stranger, ISSUER, AUDIENCE))
  await expect('a changed token', 401, `${header}.${other}.${signature}`)
  await expect('an expired token', 401, signToken(key, ISSUER, AUDIENCE, -LONG_AGO_S))
  await expect("another issuer's token", 401, signToken(key, 'http://other.example', AUDIENCE))
  await expect('the good token once more', 200, good)
}
