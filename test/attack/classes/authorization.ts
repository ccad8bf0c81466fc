import type { Shot } from '../deployment.ts'
import { bare } from '../requests.ts'
import { type AttackClass, unauthorized } from '../row.ts'

const withFields = (fields: (token: string) => string[]) => (a: Shot) =>
  bare(`GET ${a.path} HTTP/1.1`, [`Host: ${a.host}`, `X-Attack: ${a.marker}`, ...fields(a.token ?? '')])

export const AUTHORIZATION: AttackClass = {
  id: 'authorization',
  title: 'several Authorization headers',
  known: ['CVE-2025-64527'],
  holds: 'refused, and nothing breaks: one header, one scheme, one token',
  alsoTestedIn: ['test/attack/identity-headers.test.ts', 'test/shared/bearer.test.ts'],
  rows: [
    unauthorized(
      'no Authorization at all',
      withFields(() => []),
      [],
    ),
    unauthorized(
      'a good token twice',
      withFields((token) => Array(2).fill(`Authorization: Bearer ${token}`)),
    ),
    unauthorized(
      'a good token and a bad one',
      withFields((token) => [`Authorization: Bearer ${token}`, 'Authorization: Bearer x']),
    ),
    unauthorized(
      'a bad token and a good one',
      withFields((token) => ['Authorization: Bearer x', `Authorization: Bearer ${token}`]),
    ),
    unauthorized(
      'a good token, and Basic',
      withFields((token) => [`Authorization: Bearer ${token}`, 'authorization: Basic eDp5']),
    ),
    unauthorized(
      'an empty one and a good one',
      withFields((token) => ['Authorization: ', `Authorization: Bearer ${token}`]),
    ),
    unauthorized(
      'ten thousand bytes of them',
      withFields(() => Array(300).fill('Authorization: Bearer x')),
      [],
    ),
    unauthorized(
      'two tokens in one',
      withFields((token) => [`Authorization: Bearer ${token}, Bearer ${token}`]),
    ),
    unauthorized(
      'two tokens with a space between',
      withFields((token) => [`Authorization: Bearer ${token} ${token}`]),
    ),
    unauthorized(
      'two spaces',
      withFields((token) => [`Authorization: Bearer  ${token}`]),
    ),
    unauthorized(
      'a tab',
      withFields((token) => [`Authorization: Bearer\t${token}`]),
    ),
    unauthorized(
      'no space',
      withFields((token) => [`Authorization: Bearer${token}`]),
    ),
    unauthorized(
      'no scheme',
      withFields((token) => [`Authorization: ${token}`]),
    ),
    unauthorized(
      'another scheme',
      withFields((token) => [`Authorization: Basic ${token}`]),
    ),
    unauthorized(
      'a scheme that begins like it',
      withFields((token) => [`Authorization: Bearers ${token}`]),
    ),
    unauthorized(
      'quotes',
      withFields((token) => [`Authorization: Bearer "${token}"`]),
    ),
    unauthorized(
      'a parameter',
      withFields((token) => [`Authorization: Bearer token=${token}`]),
    ),
    unauthorized(
      'an alias of the header',
      withFields((token) => [`Authorization_: Bearer ${token}`]),
    ),
    unauthorized(
      'Proxy-Authorization',
      withFields((token) => [`Proxy-Authorization: Bearer ${token}`]),
    ),
    unauthorized(
      'X-Forwarded-Authorization',
      withFields((token) => [`X-Forwarded-Authorization: Bearer ${token}`]),
    ),
    unauthorized(
      'the token in a cookie',
      withFields((token) => [`Cookie: access_token=${token}; Authorization=${token}`]),
    ),
    unauthorized('the token in the query', (a) =>
      bare(`GET ${a.path}?access_token=${a.token} HTTP/1.1`, [`Host: ${a.host}`]),
    ),
  ],
}
