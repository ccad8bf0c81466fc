import { pbkdf2Sync, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { test } from 'tap'
import { verifyHash } from '../../../issuer/adapters/verify-hash.ts'
import { readKeycloakUser } from '../../../issuer/domain/keycloak-user.ts'
import { isAffordable, parseHash } from '../../../issuer/domain/password-hash.ts'
import { readUserRecord } from '../../../issuer/domain/user-record.ts'
import { argon2Credential, keycloakUser, pbkdf2Credential } from '../../helpers/keycloak.ts'

const RULES = {
  nowMs: Date.now(),
  roles: new Set(['subscriber', 'viewer', 'editor', 'admin', 'superuser']),
  superusers: true,
}
const PASSWORD = 'korrekt Pferd Batterie ähm'

test('a user as Keycloak exports them', async (t) => {
  const credential = pbkdf2Credential(PASSWORD, 'sha256')
  const given = keycloakUser({
    realmRoles: ['default-roles-shop', 'offline_access', 'uma_authorization', 'editor'],
    credentials: [credential],
  })
  const read = readKeycloakUser(given, false)
  if (!read.ok) return t.fail(read.reason)
  const checked = readUserRecord(read.record, RULES)
  t.match(checked, {
    ok: true,
    user: {
      id: given.id,
      email: given.email,
      username: given.username,
      roles: ['subscriber', 'editor'],
      isActive: true,
      isVerified: true,
      createdAt: given.createdTimestamp,
      epoch: 0,
    },
  })
})

test('its password hashes verify here', async (t) => {
  const credentials = {
    'pbkdf2 (SHA-1)': pbkdf2Credential(PASSWORD, 'sha1'),
    'pbkdf2-sha256 with a key of 32 bytes': pbkdf2Credential(PASSWORD, 'sha256', 32),
    'pbkdf2-sha256 with its default of 64': pbkdf2Credential(PASSWORD, 'sha256'),
    'pbkdf2-sha512': pbkdf2Credential(PASSWORD, 'sha512'),
    'argon2, as it is by default': argon2Credential(PASSWORD),
    argon2i: argon2Credential(PASSWORD, { type: 'i', memory: 8192, passes: 3 }),
  }
  for (const [name, credential] of Object.entries(credentials)) {
    const read = readKeycloakUser(keycloakUser({ credentials: [credential] }), false)
    if (!read.ok) return t.fail(`${name}: ${read.reason}`)
    const hash = String(read.record.password_hash)
    const parsed = parseHash(hash)
    if (!parsed) return t.fail(`${name}: ${hash}`)
    t.ok(isAffordable(parsed), name)
    t.ok(await verifyHash(hash, parsed, PASSWORD), name)
    t.notOk(await verifyHash(hash, parsed, `${PASSWORD}x`), name)
  }
})

test('Keycloak pads short passwords with NUL for PBKDF2, which changes nothing', async (t) => {
  const salt = randomBytes(16)
  for (const digest of ['sha1', 'sha256', 'sha512']) {
    const plain = pbkdf2Sync('short', salt, 1000, 64, digest)
    t.same(pbkdf2Sync('short'.padEnd(14, '\0'), salt, 1000, 64, digest), plain)
  }
})

/** Parsing it is no problem, but as a text it is more than the stack can bear. */
const nested = (depth: number): unknown => JSON.parse('['.repeat(depth) + ']'.repeat(depth))

test('who is not said to be enabled is not: it is what Keycloak makes of it too', async (t) => {
  const credentials = [pbkdf2Credential(PASSWORD, 'sha256')]
  for (const enabled of [null, undefined, false]) {
    const read = readKeycloakUser(keycloakUser({ enabled, credentials }), false)
    if (!read.ok) return t.fail(read.reason)
    t.match(readUserRecord(read.record, RULES), { ok: true, user: { isActive: false } }, String(enabled))
  }
})

test('what nothing here could become is named', async (t) => {
  const credentials = [pbkdf2Credential(PASSWORD, 'sha256')]
  const leftOut = (more: object) => {
    const read = readKeycloakUser(keycloakUser({ firstName: '', lastName: null, credentials, ...more }), true)
    return read.ok ? read.leftOut : t.fail(read.reason)
  }
  t.same(leftOut({ attributes: {}, clientRoles: {}, groups: [], requiredActions: null }), [])
  t.same(leftOut({ requiredActions: ['VERIFY_EMAIL'] }), [], 'is_verified says it')
  t.same(leftOut({ firstName: 'Ada', lastName: 'Lovelace' }), ['firstName', 'lastName'])
  t.same(leftOut({ requiredActions: ['CONFIGURE_TOTP'], groups: ['/staff'], attributes: { a: ['b'] } }), [
    'attributes',
    'groups',
    'requiredActions',
  ])
  t.same(leftOut({ clientRoles: { shop: ['buyer'] }, federatedIdentities: [{ identityProvider: 'x' }] }), [
    'clientRoles',
    'federatedIdentities',
  ])
  t.same(leftOut({ credentials: [...credentials, { type: 'otp' }] }), ['credentials'], 'a second factor')
})

test('what is refused, and why', async (t) => {
  const password = pbkdf2Credential(PASSWORD, 'sha256')
  const data = JSON.parse(argon2Credential(PASSWORD).credentialData)
  const argon2 = (parameters: object) => ({
    ...argon2Credential(PASSWORD),
    credentialData: JSON.stringify({ ...data, additionalParameters: { ...data.additionalParameters, ...parameters } }),
  })
  const otp = { type: 'otp', secretData: '{"value":"x"}', credentialData: '{"subType":"totp"}' }
  const rows: [name: string, user: unknown, reason: RegExp][] = [
    ['null', null, /not an object/],
    ['a list', [], /not an object/],
    ['a service account', keycloakUser({ serviceAccountClientId: 'shop' }), /service account/],
    ['no credentials', keycloakUser({ credentials: undefined }), /no password/],
    ['a passkey alone', keycloakUser({ credentials: [{ type: 'webauthn-passwordless' }] }), /second factor/],
    ['a one-time password too', keycloakUser({ credentials: [password, otp] }), /--drop-second-factors/],
    ['two passwords', keycloakUser({ credentials: [password, password] }), /several passwords/],
    [
      'a hash of an extension',
      keycloakUser({ credentials: [{ ...password, credentialData: '{"hashIterations":10,"algorithm":"bcrypt"}' }] }),
      /none of PBKDF2 and Argon2/,
    ],
    ['data that is no JSON', keycloakUser({ credentials: [{ ...password, secretData: '{' }] }), /none of PBKDF2/],
    ['an older Argon2', keycloakUser({ credentials: [argon2({ version: ['1.0'] })] }), /none of PBKDF2/],
    [
      'a role of that name means something else',
      keycloakUser({ realmRoles: ['admin'], credentials: [password] }),
      /another name/,
    ],
    [
      'a password that is to be changed',
      keycloakUser({ requiredActions: ['VERIFY_EMAIL', 'UPDATE_PASSWORD'], credentials: [password] }),
      /UPDATE_PASSWORD/,
    ],
    ['a temporary one', keycloakUser({ credentials: [{ ...password, temporary: true }] }), /UPDATE_PASSWORD/],
    ['actions that are none', keycloakUser({ requiredActions: [7], credentials: [password] }), /requiredActions/],
    ['roles that are none', keycloakUser({ realmRoles: 'editor', credentials: [password] }), /realmRoles/],
    [
      'a role that is no text',
      keycloakUser({ realmRoles: [{ toString: 1, valueOf: 1 }], credentials: [password] }),
      /realmRoles/,
    ],
    ['roles within roles', keycloakUser({ realmRoles: [nested(100_000)], credentials: [password] }), /realmRoles/],
  ]
  for (const [name, user, reason] of rows) {
    const read = readKeycloakUser(user, false)
    t.ok(!read.ok && reason.test(read.reason), `${name}: ${JSON.stringify(read)}`)
  }
  const dropped = readKeycloakUser(keycloakUser({ credentials: [password, otp] }), true)
  t.ok(dropped.ok, 'asked for, the password comes alone')
  // What only our own rules can tell.
  for (const user of [
    keycloakUser({ email: undefined, credentials: [password] }),
    keycloakUser({ id: 'not a UUID', credentials: [password] }),
    keycloakUser({ realmRoles: ['unheard-of'], credentials: [password] }),
    keycloakUser({ enabled: 'yes', credentials: [password] }),
    keycloakUser({ credentials: [argon2({ memory: ['99999999'] })] }),
    keycloakUser({ credentials: [argon2({ memory: ['7168$x'] })] }),
    keycloakUser({ credentials: [{ ...password, secretData: '{"salt":"a$b","value":"c"}' }] }),
  ]) {
    const read = readKeycloakUser(user, false)
    t.ok(read.ok && !readUserRecord(read.record, RULES).ok, JSON.stringify(user))
  }
})

test('whatever the file holds, it is a record or a refusal', async () => {
  const anything = fc.anything()
  const user = fc.record(
    {
      id: anything,
      email: anything,
      username: anything,
      enabled: anything,
      realmRoles: anything,
      createdTimestamp: anything,
      credentials: fc.oneof(
        anything,
        fc.array(
          fc.record({
            type: fc.constant('password'),
            credentialData: fc.oneof(fc.string(), fc.json()),
            secretData: fc.oneof(fc.string(), fc.json()),
          }),
        ),
      ),
    },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(
      fc.oneof(anything, user),
      fc.boolean(),
      (value, drop) => typeof readKeycloakUser(value, drop).ok === 'boolean',
    ),
  )
})
