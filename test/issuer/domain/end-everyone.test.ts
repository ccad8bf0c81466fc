import { test } from 'tap'
import { createEndEveryone, type EndEveryoneOptions } from '../../../issuer/domain/end-everyone.ts'
import { StoreUnavailable } from '../../../issuer/domain/ports.ts'
import { createRevokeKey } from '../../../issuer/domain/revoke-key.ts'
import { createRotateKeys } from '../../../issuer/domain/rotate-keys.ts'
import type { StoredSigningKey } from '../../../issuer/domain/signing-key.ts'
import { systemClock } from '../../../shared/clock.ts'
import { kidOf } from '../../helpers/command-line.ts'
import { type BuiltIssuer, buildIssuer, countingHasher, PASSWORD, type Tokens } from '../build.ts'

const HOUR_MS = 3_600_000

function aKey(given: Partial<StoredSigningKey> & Pick<StoredSigningKey, 'kid' | 'state'>): StoredSigningKey {
  const createdAt = Date.now() - 2 * HOUR_MS
  const times = { createdAt, signsFrom: createdAt, retiredAt: null, revokedAt: null }
  return { alg: 'ES256', sealedPrivateKey: 'x', ...times, ...given }
}

/** Of so many users; what is done is written down in order. */
function prepare(
  userCount: number,
  { unheard = [] as string[], onBatch = () => {}, onKey = (_kid: string) => {} } = {},
) {
  const steps: string[] = []
  const audited: object[] = []
  const keys = [
    aKey({ kid: 'long-gone', state: 'retired', retiredAt: Date.now() - HOUR_MS }),
    aKey({ kid: 'just-retired', state: 'retired', retiredAt: Date.now() - 1000 }),
    aKey({ kid: 'now', state: 'current' }),
    aKey({ kid: 'stands-by', state: 'next', signsFrom: null }),
    aKey({ kid: 'revoked', state: 'gone', retiredAt: Date.now(), revokedAt: Date.now() }),
  ]
  const endEveryone = createEndEveryone(
    {
      users: {
        async raiseEpochs(_by, limit, after = '0') {
          const last = Math.min(Number(after) + limit, userCount)
          if (last === Number(after)) return { count: 0, last: undefined }
          onBatch()
          steps.push(`users to ${last}`)
          return { count: last - Number(after), last: String(last) }
        },
      },
      signingKeys: { change: async (decide) => decide(keys) },
      revokeKey: async (kid) => {
        onKey(kid)
        steps.push(`key ${kid}`)
        return { ok: true, current: 'stands-by', propagated: !unheard.includes(kid) }
      },
      audit: { record: (event, facts) => void audited.push({ event, ...facts }) },
      clock: systemClock,
    },
    { lifetimeS: 300 },
  )
  return { endEveryone, steps, audited }
}

const quietly: EndEveryoneOptions = {
  by: 'me',
  allKeys: false,
  signal: new AbortController().signal,
  onProgress: () => {},
}

test('first all users, then each key that has signed what can be valid still', async (t) => {
  const { endEveryone, steps, audited } = prepare(2500)
  const seen: number[] = []
  const ended = await endEveryone({ ...quietly, onProgress: (count) => seen.push(count) })
  t.same(steps, ['users to 1000', 'users to 2000', 'users to 2500', 'key just-retired', 'key now'])
  t.same(ended, { users: 2500, keys: ['just-retired', 'now'], propagated: true, complete: true })
  t.equal(seen.at(-1), 2500)
  t.same(audited, [
    { event: 'everyone_logout_begun', all_keys: false, by: 'me' },
    { event: 'everyone_logged_out', users: 2500, keys: 2, propagated: true, complete: true, by: 'me' },
  ])
})

test('all keys: the one that stands by is revoked before it could sign', async (t) => {
  const { endEveryone, steps, audited } = prepare(1)
  t.match(await endEveryone({ ...quietly, allKeys: true }), { complete: true })
  t.same(steps, ['users to 1', 'key stands-by', 'key long-gone', 'key just-retired', 'key now'])
  t.match(audited, [{ all_keys: true }, { keys: 4 }])
})

test('it is propagated when every key is', async (t) => {
  const { endEveryone } = prepare(0, { unheard: ['just-retired'] })
  t.match(await endEveryone(quietly), { users: 0, propagated: false, complete: true })
})

test('interrupted, it says so: no key is revoked while users are left', async (t) => {
  const stop = new AbortController()
  const { endEveryone, steps, audited } = prepare(2500, { onBatch: () => stop.abort() })
  const ended = await endEveryone({ ...quietly, signal: stop.signal })
  t.same(steps, ['users to 1000'])
  t.match(ended, { users: 1000, keys: [], complete: false, failure: undefined })
  t.match(audited, [{}, { complete: false, users: 1000, keys: 0 }])
})

test('a store that fails midway: what was done until then is told and audited', async (t) => {
  const failure = new StoreUnavailable('MongoDB', new Error('away'))
  let batches = 0
  const among = prepare(2500, {
    onBatch() {
      if (++batches === 3) throw failure
    },
  })
  t.same(await among.endEveryone(quietly), { users: 2000, keys: [], propagated: true, complete: false, failure })
  t.match(among.audited, [
    { event: 'everyone_logout_begun' },
    { event: 'everyone_logged_out', users: 2000, keys: 0, complete: false },
  ])

  const late = prepare(5, {
    onKey(kid) {
      if (kid === 'now') throw failure
    },
  })
  t.match(await late.endEveryone(quietly), { users: 5, keys: ['just-retired'], complete: false, failure })
  t.match(late.audited, [{}, { users: 5, keys: 1, complete: false }])
})

/** Everything as it is on a running issuer, which has heard of its new keys. */
async function endEveryone({ parts, keySet }: BuiltIssuer): Promise<string[]> {
  const announce = async () => true
  const rules = { algorithm: 'ES256', lifetimeS: 300, jwksMaxAgeS: 300, rotationMs: undefined } as const
  const revokeKey = createRevokeKey({ ...parts, announce }, rules)
  const { keys, complete } = await createEndEveryone({ ...parts, revokeKey }, rules)(quietly)
  if (!complete) throw new Error('not complete')
  await keySet.reload()
  return keys
}

/** An issuer that stands still once, for as long as that takes, right after this operation of its store. */
async function freezing(t: Parameters<typeof buildIssuer>[0], port: 'users' | 'sessions', operation: string) {
  let meanwhile: (() => Promise<unknown>) | undefined
  const built = await buildIssuer(t, {
    hasher: countingHasher(),
    wrap: (parts) => ({
      [port]: new Proxy(parts[port], {
        get(target, name) {
          const member = Reflect.get(target, name) as (...args: unknown[]) => Promise<unknown>
          if (name !== operation) return member
          return async (...args: unknown[]) => {
            const answer = await member.apply(target, args)
            const happens = meanwhile
            meanwhile = undefined
            await happens?.()
            return answer
          }
        },
      }),
    }),
  })
  await createRotateKeys(built.parts, {
    algorithm: 'ES256',
    lifetimeS: 300,
    jwksMaxAgeS: 300,
    rotationMs: undefined,
  }).upkeep()
  const during = <T>(happens: () => Promise<unknown>, request: () => Promise<T>): Promise<T> => {
    meanwhile = happens
    return request()
  }
  return { ...built, during }
}

const refresh = (issuer: BuiltIssuer, { refresh_token }: Tokens) =>
  issuer.call('POST', '/auth/refresh', { json: { refresh_token } })

test('a refresh that stood still meanwhile signs with no key of after, wherever it stood', async (t) => {
  for (const [port, operation] of [
    ['users', 'byId'],
    ['sessions', 'rotate'],
  ] as const) {
    const issuer = await freezing(t, port, operation)
    const tokens = await issuer.login(await issuer.register())
    const answer = await issuer.during(
      () => endEveryone(issuer),
      () => refresh(issuer, tokens),
    )
    t.match(answer, { status: 503, body: { code: 'store_unavailable' } }, operation)
    t.equal((await refresh(issuer, tokens)).status, 401, 'and repeated, it is over')
  }
})

test('a key is revoked during a refresh: repeated, the refresh is answered', async (t) => {
  const issuer = await freezing(t, 'sessions', 'rotate')
  const tokens = await issuer.login(await issuer.register())
  const revoked = issuer.keySet.current().kid
  const revoke = () => issuer.parts.signingKeys.change((keys) => keys.map(asRevoked))
  const asRevoked = (key: StoredSigningKey): StoredSigningKey => {
    if (key.kid === revoked) return { ...key, state: 'gone', revokedAt: issuer.clock.now() }
    return key.state === 'next' ? { ...key, state: 'current' } : key
  }
  const answer = await issuer.during(
    async () => {
      await revoke()
      await issuer.keySet.reload()
    },
    () => refresh(issuer, tokens),
  )
  t.match(answer, { status: 503, headers: { 'retry-after': /\d/ } })
  const repeated = await refresh(issuer, tokens)
  t.equal(repeated.status, 200)
  t.not(kidOf(repeated.body.access_token), revoked)
  t.equal((await refresh(issuer, repeated.body)).status, 200)
})

test('a key is rotated away during a refresh, which is answered all the same', async (t) => {
  const issuer = await freezing(t, 'users', 'byId')
  const tokens = await issuer.login(await issuer.register())
  const before = issuer.keySet.current().kid
  const rules = { algorithm: 'ES256', lifetimeS: 300, jwksMaxAgeS: 300, rotationMs: undefined } as const
  const answer = await issuer.during(
    () => createRotateKeys(issuer.parts, rules).rotate({ immediately: true, by: 'me' }),
    () => refresh(issuer, tokens),
  )
  t.equal(answer.status, 200)
  t.equal(kidOf(answer.body.access_token), before)
  t.not(issuer.keySet.current().kid, before)
})

test('a login and a registration that stood still meanwhile give nothing of before', async (t) => {
  const issuer = await freezing(t, 'sessions', 'create')
  const user = await issuer.register()
  const json = { email: user.email, password: PASSWORD, transport: 'body' }
  const first = issuer.keySet.current().kid
  const login = await issuer.during(
    () => endEveryone(issuer),
    () => issuer.call('POST', '/auth/login', { json }),
  )
  t.equal(login.status, 200, 'the login begins anew')
  t.not(kidOf(login.body.access_token), first)
  t.equal((await refresh(issuer, login.body)).status, 200)

  const registered = await issuer.during(
    () => endEveryone(issuer),
    () => issuer.call('POST', '/auth/register', { json: { ...json, email: 'new@example.com', login: true } }),
  )
  t.match(registered, { status: 201, body: { access_token: undefined, refresh_token: undefined } })
  t.same(await issuer.parts.sessions.list(registered.body.id, issuer.clock.now()), [])
  t.equal((await issuer.call('POST', '/auth/login', { json: { ...json, email: 'new@example.com' } })).status, 200)
})

test('a session whose password is changed meanwhile is not spared', async (t) => {
  const hasher = countingHasher()
  const issuer = await buildIssuer(t, { hasher })
  const tokens = await issuer.login(await issuer.register())
  const { verify } = hasher
  hasher.verify = async (...args) => {
    hasher.verify = verify
    await endEveryone(issuer)
    return verify(...args)
  }
  const json = { current_password: PASSWORD, new_password: 'quite another pass phrase' }
  const changed = await issuer.call('POST', '/users/me/password', { token: tokens.access_token, json })
  t.match(changed, { status: 409, body: { code: 'conflict' } })
  t.equal((await refresh(issuer, tokens)).status, 401)
})
