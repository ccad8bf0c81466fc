import fc from 'fast-check'
import { test } from 'tap'
import type { AccessClaims } from '../../shared/access-token.ts'
import {
  canonicalHeaderName,
  DEFAULT_IDENTITY_HEADERS,
  IDENTITY_HEADERS,
  type IdentityHeaderNames,
  identityHeaders,
} from '../../shared/identity-headers.ts'
import { accessClaims } from '../helpers/access-tokens.ts'

const all: IdentityHeaderNames = { ...DEFAULT_IDENTITY_HEADERS, claims: 'X-User-Claims' }

function headersOf(claims: Record<string, unknown>, names = all): Record<string, string> {
  return Object.fromEntries(identityHeaders(accessClaims(claims), names))
}

test('says who asks', async (t) => {
  const claims = { sub: 'u', sid: 's', email: 'a@b.example', roles: ['user', 'admin'], scope: 'a b', tier: 'pro' }
  t.same(headersOf(claims, DEFAULT_IDENTITY_HEADERS), {
    'X-User-Id': 'u',
    'X-User-Email': 'a@b.example',
    'X-User-Roles': 'user,admin',
    'X-User-Scope': 'a b',
    'X-User-Tier': 'pro',
    'X-Session-Id': 's',
  })
})

test('what the token does not say, and what is not wanted, is not sent', async (t) => {
  t.same(Object.keys(headersOf({ roles: [] }, DEFAULT_IDENTITY_HEADERS)), ['X-User-Id', 'X-Session-Id'])
  t.same(headersOf({ sub: 'u' }, { userId: 'Remote-User' }), { 'Remote-User': 'u' })
  t.same(headersOf({}, {}), {})
  t.notOk('claims' in DEFAULT_IDENTITY_HEADERS, 'all claims only when asked for')
})

test('all claims as base64url JSON', async (t) => {
  const claims = accessClaims({ email: 'é@b.example', more: { a: [1] } })
  const [[, value] = []] = identityHeaders(claims, { claims: 'X-User-Claims' })
  t.match(value, /^[A-Za-z0-9_-]+$/)
  t.same(JSON.parse(Buffer.from(value ?? '', 'base64url').toString()), claims)
})

test('values that a header field cannot carry are percent-encoded', async (t) => {
  const rows: [claim: string, header: string][] = [
    ['a.b+c_d!#$&\'*/=?^`{|}~-@[]"\\<>()', 'a.b+c_d!#$&\'*/=?^`{|}~-@[]"\\<>()'],
    ['a b', 'a b'],
    [' a  ', '%20a%20%20'],
    ['100%', '100%25'],
    ['é', '%C3%A9'],
    ['😀', '%F0%9F%98%80'],
    ['a\r\nX-User-Roles: admin', 'a%0D%0AX-User-Roles: admin'],
    ['a\0b\x7f\x85', 'a%00b%7F%C2%85'],
  ]
  for (const [claim, header] of rows) t.equal(headersOf({ tier: claim })['X-User-Tier'], header, JSON.stringify(claim))
})

test('a comma in a role does not make two of it', async (t) => {
  t.equal(headersOf({ roles: ['a,admin', 'b%2Cc', ' d', 'é'] })['X-User-Roles'], 'a%2Cadmin,b%252Cc,%20d,%C3%A9')
})

const claimText = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter((value) => value.isWellFormed())

test('every value is one header field, and gives back the claim', async () => {
  fc.assert(
    fc.property(claimText, fc.array(claimText, { minLength: 1, maxLength: 4 }), (text, roles) => {
      const headers = headersOf({ sub: text, email: text, scope: text, tier: text, sid: text, roles })
      for (const value of Object.values(headers)) {
        if (!/^[!-~](?:[ -~]*[!-~])?$/.test(value)) throw new Error(`not a field value: ${JSON.stringify(value)}`)
      }
      const given = (headers['X-User-Roles'] ?? '').split(',').map(decodeURIComponent)
      if (JSON.stringify(given) !== JSON.stringify(roles)) throw new Error('other roles')
      return ['X-User-Id', 'X-User-Email', 'X-User-Tier'].every((name) => decodeURIComponent(headers[name]!) === text)
    }),
  )
})

test('identity header aliases (CVE-2025-64484, CVE-2026-88011, CVE-2026-54763, CVE-2026-30851): one spelling for all', async (t) => {
  for (const { name } of Object.values(IDENTITY_HEADERS)) {
    const canonical = canonicalHeaderName(name)
    const spellings = ['-', '_', '.', '~', '!', '|'].map((mark) => name.replaceAll('-', mark))
    for (const alias of [...spellings, name.toUpperCase(), name.toLowerCase(), name.replace('-', '_')]) {
      t.equal(canonicalHeaderName(alias), canonical, alias)
    }
  }
  t.not(canonicalHeaderName('X-User-Ids'), canonicalHeaderName('X-User-Id'))
  t.not(canonicalHeaderName('XUserId'), canonicalHeaderName('X-User-Id'))
})

test('the table of headers knows each claim it speaks of', async (t) => {
  const claims: AccessClaims = accessClaims({ email: 'e', scope: 's', tier: 't' })
  for (const [header, { value }] of Object.entries(IDENTITY_HEADERS)) t.ok(value(claims)?.length, header)
})
