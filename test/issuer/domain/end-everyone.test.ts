import { test } from 'tap'
import { createEndEveryone } from '../../../issuer/domain/end-everyone.ts'
import type { StoredSigningKey } from '../../../issuer/domain/signing-key.ts'
import { systemClock } from '../../../shared/clock.ts'

const HOUR_MS = 3_600_000

function aKey(given: Partial<StoredSigningKey> & Pick<StoredSigningKey, 'kid' | 'state'>): StoredSigningKey {
  const createdAt = Date.now() - 2 * HOUR_MS
  const times = { createdAt, signsFrom: createdAt, retiredAt: null, revokedAt: null }
  return { alg: 'ES256', sealedPrivateKey: 'x', ...times, ...given }
}

/** Of so many users; what is done is written down in order. */
function prepare(userCount: number, { unheard = [] as string[], onBatch = () => {} } = {}) {
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
          steps.push(`users to ${last}`)
          onBatch()
          return { count: last - Number(after), last: String(last) }
        },
      },
      signingKeys: { all: async () => keys },
      revokeKey: async (kid) => {
        steps.push(`key ${kid}`)
        return { ok: true, current: 'stands-by', propagated: !unheard.includes(kid) }
      },
      audit: { record: (event, facts) => void audited.push({ event, ...facts }) },
      clock: systemClock,
    },
    { lifetimeS: 300 },
    5,
  )
  return { endEveryone, steps, audited }
}

const never = () => new AbortController().signal

test('first all users, then each key that has signed what can be valid still', async (t) => {
  const { endEveryone, steps, audited } = prepare(2500)
  const seen: number[] = []
  const ended = await endEveryone({ by: 'me', signal: never(), onProgress: (count) => seen.push(count) })
  t.same(steps, ['users to 1000', 'users to 2000', 'users to 2500', 'key just-retired', 'key now'])
  t.same(ended, { users: 2500, keys: ['just-retired', 'now'], propagated: true, complete: true })
  t.equal(seen.at(-1), 2500)
  t.same(audited, [{ event: 'everyone_logged_out', users: 2500, keys: 2, propagated: true, complete: true, by: 'me' }])
})

test('it is propagated when every key is', async (t) => {
  const { endEveryone } = prepare(0, { unheard: ['just-retired'] })
  const ended = await endEveryone({ by: 'me', signal: never(), onProgress: () => {} })
  t.match(ended, { users: 0, propagated: false, complete: true })
})

test('interrupted, it says so: no key is revoked while users are left', async (t) => {
  const stop = new AbortController()
  const { endEveryone, steps, audited } = prepare(2500, { onBatch: () => stop.abort() })
  const ended = await endEveryone({ by: 'me', signal: stop.signal, onProgress: () => {} })
  t.same(steps, ['users to 1000'])
  t.match(ended, { users: 1000, keys: [], complete: false })
  t.match(audited, [{ complete: false, users: 1000, keys: 0 }])
})
