import { test } from 'tap'
import { checkPolicy, type Objection } from '../../../sidecar/domain/policy.ts'
import { DEFAULT_ROUTE, type Route } from '../../../sidecar/domain/route.ts'
import { accessClaims } from '../../helpers/access-tokens.ts'

const ROWS: [name: string, route: Partial<Route>, claims: Record<string, unknown>, objection: Objection | undefined][] =
  [
    ['nothing asked', {}, { roles: [] }, undefined],
    ['one of the roles', { roles: ['admin', 'editor'] }, { roles: ['user', 'editor'] }, undefined],
    ['none of the roles', { roles: ['admin', 'editor'] }, { roles: ['user'] }, 'role_missing'],
    ['no role at all', { roles: ['admin'] }, { roles: [] }, 'role_missing'],
    ['a role in another case', { roles: ['admin'] }, { roles: ['Admin'] }, 'role_missing'],
    ['a part of a role', { roles: ['admin'] }, { roles: ['administrator'] }, 'role_missing'],
    ['all scopes', { scopes: ['a:read', 'a:write'] }, { scope: 'a:write b a:read' }, undefined],
    ['one scope of two', { scopes: ['a:read', 'a:write'] }, { scope: 'a:read' }, 'scope_missing'],
    ['no scope claim', { scopes: ['a:read'] }, {}, 'scope_missing'],
    ['a part of a scope', { scopes: ['a'] }, { scope: 'a:read' }, 'scope_missing'],
    ['a claim with the value', { claims: [{ claim: 'tier', equals: 'pro' }] }, { tier: 'pro' }, undefined],
    ['a claim with another value', { claims: [{ claim: 'tier', equals: 'pro' }] }, { tier: 'free' }, 'claim_mismatch'],
    ['a claim that is missing', { claims: [{ claim: 'tier', equals: 'pro' }] }, {}, 'claim_mismatch'],
    ['a list with the value', { claims: [{ claim: 'aud', equals: 'b' }] }, { aud: ['a', 'b'] }, undefined],
    ['a list without the value', { claims: [{ claim: 'aud', equals: 'c' }] }, { aud: ['a', 'b'] }, 'claim_mismatch'],
    [
      'a text that contains the value',
      { claims: [{ claim: 'tier', equals: 'pro' }] },
      { tier: 'pro+' },
      'claim_mismatch',
    ],
    ['a number is no text', { claims: [{ claim: 'level', equals: 3 }] }, { level: '3' }, 'claim_mismatch'],
    ['a number', { claims: [{ claim: 'level', equals: 3 }] }, { level: 3 }, undefined],
    [
      'two claims, one right',
      {
        claims: [
          { claim: 'a', equals: 1 },
          { claim: 'b', equals: 2 },
        ],
      },
      { a: 1 },
      'claim_mismatch',
    ],
    ['what every object has', { claims: [{ claim: 'constructor', equals: 'x' }] }, {}, 'claim_mismatch'],
    ['a verified address', { verifiedEmail: true }, { email_verified: true }, undefined],
    ['an address not verified', { verifiedEmail: true }, { email_verified: false }, 'email_unverified'],
    ['nothing said of the address', { verifiedEmail: true }, {}, 'email_unverified'],
    [
      'everything asked and given',
      { roles: ['user'], scopes: ['a'], verifiedEmail: true },
      { scope: 'a', email_verified: true },
      undefined,
    ],
  ]

test('a route asks for roles, scopes, claims and a verified address', async (t) => {
  for (const [name, route, claims, objection] of ROWS) {
    t.equal(checkPolicy({ ...DEFAULT_ROUTE, ...route }, accessClaims(claims)), objection, name)
  }
})

test('only what the token itself says counts', async (t) => {
  const route = { ...DEFAULT_ROUTE, claims: [{ claim: 'plan', equals: 'pro' }] }
  const inherited = Object.assign(Object.create({ plan: 'pro' }), accessClaims())
  t.equal(inherited.plan, 'pro')
  t.equal(checkPolicy(route, inherited), 'claim_mismatch')
})
