import fc from 'fast-check'
import { test } from 'tap'
import { type ImportRules, readUserRecord, userRecord } from '../../../issuer/domain/user-record.ts'
import { aUser } from '../../helpers/stores.ts'

const NOW = Date.parse('2026-01-02T03:04:05.678Z')
const HASH = '$2b$12$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'
const rules: ImportRules = { nowMs: NOW, roles: new Set(['subscriber', 'viewer', 'superuser']), superusers: false }
const record = { email: 'Sally@Example.com', password_hash: HASH }

test('what is missing is as at registration', async (t) => {
  const read = readUserRecord(record, rules)
  t.match(read, {
    ok: true,
    user: {
      id: /^[0-9a-f-]{36}$/,
      email: 'Sally@Example.com',
      emailKey: 'sally@example.com',
      username: null,
      usernameKey: null,
      passwordHash: HASH,
      epoch: 0,
      roles: ['subscriber'],
      tier: 'free',
      isActive: true,
      isVerified: false,
      createdAt: NOW,
      updatedAt: NOW,
      lastLogin: null,
    },
  })
})

test('what is exported is imported as it was', async (t) => {
  const user = aUser({
    username: 'Sälly',
    usernameKey: 'sälly',
    passwordHash: HASH,
    roles: ['viewer', 'subscriber'],
    tier: 'gold',
    isActive: false,
    isVerified: true,
    lastLogin: 1_750_000_000_000,
  })
  t.same(readUserRecord(JSON.parse(JSON.stringify(userRecord(user, true))), rules), { ok: true, user })
  t.notOk('password_hash' in userRecord(user, false))
})

test('what is wrong is said, and never repeated', async (t) => {
  const rows: [more: Record<string, unknown>, reason: RegExp][] = [
    [{ email: 'secret' }, /^email: /],
    [{ email: undefined }, /^email: is needed/],
    [{ email: { $ne: null } }, /^email: is needed/],
    [{ username: 'secret secret' }, /^username: /],
    [{ username: 5 }, /^username: /],
    [{ password_hash: undefined }, /^password_hash: is needed/],
    [{ password_hash: 'secret' }, /^password_hash: not one of/],
    [{ password_hash: HASH.replace('$12$', '$31$') }, /^password_hash: bcrypt: a cost that is not from 4 to 14$/],
    [
      { password_hash: '$argon2id$v=19$m=4194304,t=9,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAA' },
      /^password_hash: Argon2: more than 262144 KiB of memory$/,
    ],
    [{ roles: ['secret'] }, /^roles: one that there is not/],
    [{ roles: 'viewer' }, /^roles: /],
    [{ roles: Array(21).fill('viewer') }, /^roles: at most 20/],
    [{ roles: ['superuser'] }, /^roles: superusers/],
    [{ tier: 'secret tier' }, /^tier: /],
    [{ id: 'secret' }, /^id: /],
    [{ is_active: 'yes' }, /^is_active: /],
    [{ is_verified: 1 }, /^is_verified: /],
    [{ created_at: 'secret' }, /^created_at, /],
    [{ created_at: '2026-02-30' }, /^created_at, /],
    [{ last_login: '2099-01-01T00:00:00Z' }, /one to come/],
    [{ updated_at: 17 }, /^created_at, updated_at/],
    [{ password: 'secret' }, /^a field that is none of/],
    [{ is_admin: true }, /^a field that is none of/],
    [{ epoch: 5 }, /^a field that is none of/],
  ]
  for (const [more, reason] of rows) {
    const read = readUserRecord({ ...record, ...more }, rules)
    t.match(read, { ok: false, reason }, JSON.stringify(more))
    t.notMatch(JSON.stringify(read), 'secret')
  }
  for (const value of [null, undefined, 1, 'x', [], [record]]) t.equal(readUserRecord(value, rules).ok, false)
  t.match(readUserRecord(JSON.parse('{"__proto__":{"email":"a@b.cd"}}'), rules), { ok: false })
  const superuser = { ...record, roles: ['superuser'] }
  t.match(readUserRecord(superuser, { ...rules, superusers: true }), { ok: true, user: { roles: ['superuser'] } })
})

test('whatever a line holds is read or refused', async () => {
  const fields = ['id', 'email', 'username', 'password_hash', 'roles', 'tier', 'is_active', 'created_at', '__proto__']
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...fields), fc.jsonValue()), (value) => {
      const read = readUserRecord(value, rules)
      return read.ok || typeof read.reason === 'string'
    }),
  )
})
