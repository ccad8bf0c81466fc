import { test } from 'tap'
import { startKeyUpkeep } from '../../../issuer/adapters/key-upkeep.ts'
import { ensureSigningKey } from '../../../issuer/domain/ensure-signing-key.ts'
import { createEnterRevokedKeys, createRevokeKey } from '../../../issuer/domain/revoke-key.ts'
import { eventually } from '../../helpers/eventually.ts'
import { base, memoryLedger, metric } from '../../helpers/revocations.ts'
import { keyHolder, memoryKeys } from '../../helpers/signing-keys.ts'
import { manualClock } from '../build.ts'

test('it keeps reading, does what is due, and says once that it cannot', async (t) => {
  const { log, lines, metrics, lifecycle } = base(t)
  const clock = manualClock()
  const signingKeys = memoryKeys()
  const ledger = memoryLedger()
  const holder = keyHolder(signingKeys, clock, { rotationMs: 86_400_000 })
  await ensureSigningKey(holder, 'ES256')
  const enterRevokedKeys = createEnterRevokedKeys({ ...holder, ledger })
  startKeyUpkeep({ ...holder, enterRevokedKeys, log, metrics, lifecycle })
  const count = (state: string) => metric(metrics, 'signing_keys', { state })
  await eventually(async () => (await count('next')) === 1)
  t.equal(await count('current'), 1)
  t.equal(await count('revoked'), 0)
  const first = holder.keySet.current().kid

  clock.advance(5000)
  t.equal(await metric(metrics, 'signing_key_age_seconds'), 5)
  const revokeKey = createRevokeKey({ ...holder, announce: async () => false }, holder.rules)
  await revokeKey(first, 'test')
  await eventually(() => ledger.entries.length === 1, { message: 'the ledger has what nobody entered' })
  t.equal(await count('revoked'), 1)
  t.equal(await metric(metrics, 'signing_key_rotations_total'), 0)

  const { all } = signingKeys
  signingKeys.all = async () => {
    throw new Error('away')
  }
  await eventually(() => lines.some((line) => line.includes('cannot be read or kept up')))
  signingKeys.all = all
  clock.advance(86_400_000)
  await eventually(async () => (await metric(metrics, 'signing_key_rotations_total')) === 1)
  await eventually(() => lines.some((line) => line.includes('can be read again')))
  t.equal(lines.filter((line) => line.includes('cannot be read or kept up')).length, 1)
  t.ok((await metric(metrics, 'signing_key_age_seconds')) < 5)
})
