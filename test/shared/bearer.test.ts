import { test } from 'tap'
import { type BearerRefusal, readBearer } from '../../shared/bearer.ts'
import { MAX_TOKEN_BYTES } from '../../shared/jws.ts'

test('finds the token wherever the header is, in any case', async (t) => {
  const token = 'abc.def-_.ghi'
  for (const headers of [
    ['Authorization', `Bearer ${token}`],
    ['authorization', `bearer ${token}`],
    ['AUTHORIZATION', `BEARER ${token}`],
    ['Host', 'a', 'Cookie', 'b', 'Authorization', `Bearer ${token}`],
  ]) {
    t.same(readBearer(headers), { ok: true, token }, headers.join(' '))
  }
})

test('no Authorization header is no token', async (t) => {
  for (const headers of [
    [],
    ['Host', 'a'],
    // Neither another header's value nor a longer or shorter name.
    ['X-Note', 'Authorization', 'Authorizatio', 'Bearer a', 'Authorizations', 'Bearer a'],
    ['Proxy-Authorization', 'Bearer a', 'X-Authorization', 'Bearer b', 'Authorization_', 'Bearer c'],
  ]) {
    t.same(readBearer(headers), { ok: true, token: undefined }, headers.join(' '))
  }
})

const REFUSED: [name: string, value: string, reason: BearerRefusal][] = [
  ['an empty value', '', 'authorization_scheme'],
  ['another scheme', 'Basic YTpi', 'authorization_scheme'],
  ['a longer scheme', 'Bearers abc', 'authorization_scheme'],
  ['a token without a scheme', 'abc.def.ghi', 'authorization_scheme'],
  ['another white space', 'Bearer\tabc', 'authorization_scheme'],
  ['a leading space', ' Bearer abc', 'authorization_scheme'],
  ['the scheme alone', 'Bearer', 'authorization_malformed'],
  ['the scheme and a space', 'Bearer ', 'authorization_malformed'],
  ['two spaces', 'Bearer  abc', 'authorization_malformed'],
  ['something after the token', 'Bearer abc def', 'authorization_malformed'],
  ['two credentials in one field', 'Bearer abc, Bearer def', 'authorization_malformed'],
  ['two tokens', 'Bearer abc,def', 'authorization_malformed'],
  ['a token that is too long', `Bearer ${'a'.repeat(MAX_TOKEN_BYTES + 1)}`, 'token_too_long'],
]

test('refuses what is not exactly one bearer token', async (t) => {
  for (const [name, value, reason] of REFUSED) t.same(readBearer(['Authorization', value]), { ok: false, reason }, name)
  t.equal(readBearer(['Authorization', `Bearer ${'a'.repeat(MAX_TOKEN_BYTES)}`]).ok, true, 'the longest token')
})

test('several Authorization headers (CVE-2025-64527): refused, whatever they say', async (t) => {
  const repeated = { ok: false, reason: 'authorization_repeated' }
  t.same(readBearer(['Authorization', 'Bearer a', 'Authorization', 'Bearer b']), repeated, 'two tokens')
  t.same(readBearer(['Authorization', 'Bearer a', 'authorization', 'Bearer a']), repeated, 'the same twice')
  t.same(readBearer(['Authorization', 'Bearer a', 'Host', 'h', 'AUTHORIZATION', '']), repeated, 'one of them empty')
  t.same(readBearer(['Authorization', 'Basic a', 'Authorization', 'Bearer a']), repeated, 'two schemes')
})
