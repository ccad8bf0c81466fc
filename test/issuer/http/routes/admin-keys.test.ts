import { createLocalJWKSet, jwtVerify } from 'jose'
import { test } from 'tap'
import { publishAheadMs } from '../../../../issuer/domain/signing-key.ts'
import { buildIssuer } from '../../build.ts'
import { superuserToken, tokenWithRoles } from '../../service-client.ts'

const RULES = { jwksMaxAgeS: 300 }

interface Key {
  kid: string
  state: string
  published: boolean
  revoked_at: string | null
}

const kidOf = (token: string): string => JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString()).kid

test('list, rotate when it is time, rotate now, revoke', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register()
  const { access_token: before, refresh_token } = await issuer.login(user)
  const token = await superuserToken(issuer)
  const list = async (): Promise<Key[]> => (await issuer.call('GET', '/admin/keys', { token })).body.keys
  const published = async () =>
    (await issuer.call('GET', '/.well-known/jwks.json')).body.keys.map(({ kid }: Key) => kid).sort()

  const [first] = await list()
  t.match(first, { alg: 'ES256', state: 'current', published: true, retired_at: null, revoked_at: null })
  t.notMatch(JSON.stringify(first), /sealed|private/i)

  const scheduled = await issuer.call('POST', '/admin/keys/rotate', { token })
  const effective_at = new Date(issuer.clock.now() + publishAheadMs(RULES)).toISOString()
  t.match(scheduled, { status: 202, body: { kid: String, effective_at } })
  t.same(await issuer.call('POST', '/admin/keys/rotate', { token, json: {} }).then(({ body }) => body), scheduled.body)
  t.same(await published(), [first!.kid, scheduled.body.kid].sort(), 'published from now on')
  t.equal(kidOf((await issuer.login(user)).access_token), first!.kid)

  const now = await issuer.call('POST', '/admin/keys/rotate', { token, json: { now: true } })
  t.match(now, {
    status: 202,
    body: { kid: scheduled.body.kid, effective_at: new Date(issuer.clock.now()).toISOString() },
  })
  const after = (await issuer.login(user)).access_token
  t.equal(kidOf(after), scheduled.body.kid)
  const jwks = (await issuer.call('GET', '/.well-known/jwks.json')).body
  const options = { currentDate: new Date(issuer.clock.now()) }
  for (const one of [before, after]) t.ok((await jwtVerify(one, createLocalJWKSet(jwks), options)).payload.sub)
  t.equal((await issuer.call('GET', '/users/me', { token: before })).status, 200, 'what was signed before holds')

  const compromised = kidOf(after)
  const revoked = await issuer.call('POST', `/admin/keys/${compromised}/revoke`, { token })
  t.match(revoked, { status: 200, body: { propagated: true, current: String } })
  t.match(issuer.events.at(-1), { type: 'revocation', revocation: { kind: 'key', kid: compromised } })
  t.notOk((await published()).includes(compromised))
  t.equal((await issuer.call('GET', '/users/me', { token: after })).status, 401, 'the issuer too refuses its tokens')
  t.equal((await issuer.call('GET', '/users/me', { token: before })).status, 200, 'but not those of other keys')
  const refreshed = await issuer.call('POST', '/auth/refresh', { json: { refresh_token, transport: 'body' } })
  t.equal(refreshed.status, 200, 'sessions go on')
  t.equal(kidOf(refreshed.body.access_token), revoked.body.current)
  t.match(
    (await list()).find(({ kid }) => kid === compromised),
    { state: 'gone', published: false, revoked_at: new Date(issuer.clock.now()).toISOString() },
  )
  t.equal((await issuer.call('GET', `/public_key?kid=${compromised}`)).status, 404)
  t.same(
    issuer.audit.map(({ event }) => event).filter((event) => event.startsWith('signing_key')),
    ['signing_key_rotation_scheduled', 'signing_key_rotation_scheduled', 'signing_key_rotated', 'signing_key_revoked'],
  )
})

test('revoking the key of the own token: this answer, and then 401', async (t) => {
  const issuer = await buildIssuer(t)
  const token = await superuserToken(issuer)
  const revoke = () => issuer.call('POST', `/admin/keys/${kidOf(token)}/revoke`, { token })
  t.equal((await revoke()).status, 200)
  t.equal((await revoke()).status, 401)
})

test('a feed that is away: 202, and the ledger has it', async (t) => {
  const publisher = { publish: async () => Promise.reject(new Error('no broker')) }
  const issuer = await buildIssuer(t, { publisher })
  const token = await superuserToken(issuer)
  const { body } = await issuer.call('POST', `/admin/keys/${kidOf(token)}/revoke`, { token })
  t.match(body, { propagated: false })
  t.match(await issuer.parts.ledger.unpublished('x', 10), [{ id: `key:${kidOf(token)}` }])
})

test('nobody else, and nothing malformed', async (t) => {
  const issuer = await buildIssuer(t)
  const token = await superuserToken(issuer)
  const nobody = await tokenWithRoles(issuer, ['subscriber'])
  const kid = kidOf(token)
  const routes: [string, string][] = [
    ['GET', '/admin/keys'],
    ['POST', '/admin/keys/rotate'],
    ['POST', `/admin/keys/${kid}/revoke`],
  ]
  for (const [method, path] of routes) {
    t.equal((await issuer.call(method, path)).status, 401, path)
    t.equal((await issuer.call(method, path, { token: nobody })).status, 403, path)
  }
  t.equal((await issuer.call('GET', '/admin/keys', { token })).body.keys.length, 1, 'nothing has happened')
  for (const json of [
    { now: 'yes' },
    { now: true, later: 1 },
    [],
    null,
    'x',
    '{"now":true,"now":false}',
    '{"__proto__":{}}',
  ]) {
    t.equal((await issuer.call('POST', '/admin/keys/rotate', { token, json })).status, 400, JSON.stringify(json))
  }
  for (const wrong of ['unknown', 'x'.repeat(128), '__proto__']) {
    t.equal((await issuer.call('POST', `/admin/keys/${wrong}/revoke`, { token })).status, 404, wrong)
  }
  for (const wrong of ['a%00b', 'a.b', '%7B%22$ne%22:1%7D', 'x'.repeat(129)]) {
    t.ok([400, 404].includes((await issuer.call('POST', `/admin/keys/${wrong}/revoke`, { token })).status), wrong)
  }
})

test('too many rotations at once are a conflict', async (t) => {
  const issuer = await buildIssuer(t)
  const token = await superuserToken(issuer)
  let answer = await issuer.call('POST', '/admin/keys/rotate', { token, json: { now: true } })
  for (let n = 0; n < 40 && answer.status === 202; n++) {
    answer = await issuer.call('POST', '/admin/keys/rotate', { token, json: { now: true } })
  }
  t.match(answer, { status: 409, body: { code: 'conflict', detail: /keys/ } })
  t.ok((await issuer.call('GET', '/.well-known/jwks.json')).body.keys.length <= 64, 'no more than sidecars take')
  t.equal((await issuer.call('GET', '/users/me', { token })).status, 200)
})
