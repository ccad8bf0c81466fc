import { test } from 'tap'
import { ensureSigningKey } from '../../../issuer/domain/ensure-signing-key.ts'
import { StoreUnavailable } from '../../../issuer/domain/ports.ts'
import { createEnterRevokedKeys, createRevokeKey } from '../../../issuer/domain/revoke-key.ts'
import { createSignEvent } from '../../../issuer/domain/sign-event.ts'
import { openSecurityEvent } from '../../../shared/security-event.ts'
import { eventually } from '../../helpers/eventually.ts'
import { ISSUER, memoryLedger } from '../../helpers/revocations.ts'
import { keyHolder, memoryKeys } from '../../helpers/signing-keys.ts'
import { manualClock } from '../build.ts'

const DAY_S = 86_400

async function setUp() {
  const clock = manualClock()
  const signingKeys = memoryKeys()
  const ledger = memoryLedger()
  const one = keyHolder(signingKeys, clock)
  await ensureSigningKey(one, 'ES256')
  await one.rotateKeys.upkeep()
  const announced: { kid: string; signedBy: string }[] = []
  const sign = createSignEvent(one, { issuer: ISSUER, audience: ['x'] })
  const revokeKey = createRevokeKey(
    {
      ...one,
      async announce(revocation) {
        const opened = openSecurityEvent(sign({ type: 'revocation', revocation }), one.keySet.keyFor, ISSUER)
        announced.push({ kid: revocation.kid, signedBy: opened.kid! })
        return opened.ok
      },
    },
    one.rules,
  )
  return { clock, signingKeys, ledger, one, revokeKey, announced }
}

test('the current key: the one that stands by signs from now on, and signs the event that says so', async (t) => {
  const { clock, signingKeys, one, revokeKey, announced } = await setUp()
  const compromised = one.keySet.current().kid
  const standby = signingKeys.stored.find(({ state }) => state === 'next')!.kid
  t.same(await revokeKey(compromised, 'admin'), { ok: true, current: standby, propagated: true })
  t.equal(one.keySet.current().kid, standby)
  t.equal(one.keySet.keyFor(compromised), undefined)
  t.notOk(
    one.keySet.jwks().keys.some(({ kid }) => kid === compromised),
    'dropped from the key set at once',
  )
  t.same(announced, [{ kid: compromised, signedBy: standby }])
  t.match(
    signingKeys.stored.find(({ kid }) => kid === compromised),
    {
      state: 'gone',
      sealedPrivateKey: '',
      revokedAt: clock.now(),
    },
  )
  t.ok(
    signingKeys.stored.some(({ state }) => state === 'next'),
    'another stands by',
  )
  t.match(one.audited.at(-1), {
    event: 'signing_key_revoked',
    facts: { kid: compromised, current: standby, by: 'admin' },
  })
  t.match(await revokeKey(compromised, 'admin'), { ok: true, current: standby }, 'repeating it announces it again')
  t.equal(announced.length, 2)
  t.same(await revokeKey('nobody', 'admin'), { ok: false, code: 'not_found' })
})

test('the next key: another stands by, and nothing else changes', async (t) => {
  const { signingKeys, one, revokeKey } = await setUp()
  const current = one.keySet.current().kid
  const standby = signingKeys.stored.find(({ state }) => state === 'next')!.kid
  t.match(await revokeKey(standby, 'admin'), { ok: true, current })
  const next = signingKeys.stored.find(({ state }) => state === 'next')!
  t.not(next.kid, standby)
  t.equal(next.signsFrom, null)
})

test('what one issuer did not get to enter in the ledger, any other enters', async (t) => {
  const { clock, signingKeys, ledger, one } = await setUp()
  const compromised = one.keySet.current().kid
  const dying = createRevokeKey(
    {
      ...one,
      async announce() {
        throw new StoreUnavailable('the ledger', new Error('crash'))
      },
    },
    one.rules,
  )
  await t.rejects(dying(compromised, 'admin'), StoreUnavailable)
  t.same(ledger.entries, [])
  const other = keyHolder(signingKeys, clock)
  const enter = createEnterRevokedKeys({ ...other, ledger })
  await enter()
  t.same(ledger.entries, [], 'it has not read the keys yet')
  clock.advance(2000)
  await other.rotateKeys.upkeep()
  await enter()
  await enter()
  // Beyond any time for which a sidecar may use keys that nobody confirms; it follows from when the key was revoked.
  const exp = Math.ceil((clock.now() - 2000) / 1000) + 31 * DAY_S
  t.same(
    ledger.entries.map(({ entry }) => entry),
    [{ id: `key:${compromised}`, revocation: { kind: 'key', kid: compromised, exp }, keepUntilMs: exp * 1000 }],
  )
  clock.advance(32 * DAY_S * 1000)
  await other.rotateKeys.upkeep()
  const late = memoryLedger()
  await createEnterRevokedKeys({ ...other, ledger: late })()
  t.same(late.entries, [], 'in the end it concerns nothing any more')
})

test('no issuer signs the revocation of a key with that very key: it reads the keys again', async (t) => {
  const { clock, signingKeys, one, revokeKey } = await setUp()
  const lagging = keyHolder(signingKeys, clock)
  await lagging.keySet.reload()
  const compromised = lagging.keySet.current().kid
  await revokeKey(compromised, 'admin')
  const sign = createSignEvent(lagging, { issuer: ISSUER, audience: ['x'] })
  const event = { type: 'revocation', revocation: { kind: 'key', kid: compromised, exp: 4e9 } } as const
  t.throws(() => sign(event), StoreUnavailable)
  const token = await eventually(() => sign(event))
  t.match(openSecurityEvent(token, one.keySet.keyFor, ISSUER), { ok: true, kid: one.keySet.current().kid })
})
