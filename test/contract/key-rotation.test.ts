import { test } from 'tap'
import { ensureSigningKey } from '../../issuer/domain/ensure-signing-key.ts'
import { generateSigningKey } from '../../issuer/domain/generate-key.ts'
import { createRevokeKey } from '../../issuer/domain/revoke-key.ts'
import type { StoredSigningKey } from '../../issuer/domain/signing-key.ts'
import { systemClock } from '../../shared/clock.ts'
import { keyHolder } from '../helpers/signing-keys.ts'
import { ADAPTERS } from '../helpers/stores.ts'

const ISSUERS = 4
const TURNS = 12

for (const { name, skip, place } of ADAPTERS) {
  test(`signing keys under ${ISSUERS} issuers at once in ${name}`, { skip, timeout: 300_000 }, async (t) => {
    const here = await place(t)
    const clock = systemClock
    const issuers = await Promise.all(
      Array.from({ length: ISSUERS }, async () => {
        const issuer = keyHolder((await here.open()).signingKeys, clock)
        const announce = async () => true
        return { ...issuer, revokeKey: createRevokeKey({ ...issuer, announce }, issuer.rules) }
      }),
    )
    await Promise.all(issuers.map((issuer) => ensureSigningKey(issuer, 'ES256')))
    await Promise.all(issuers.map(({ rotateKeys }) => rotateKeys.upkeep()))
    const { signingKeys } = issuers[0]!
    t.equal((await signingKeys.all()).length, 2, 'one signs and one stands by, whoever made them')

    const seen: StoredSigningKey[][] = []
    let watching = true
    const watch = async () => {
      while (watching) {
        seen.push(await signingKeys.all())
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
    }
    const watched = watch()
    const own = await generateSigningKey('EdDSA')
    const act = async (index: number) => {
      const { rotateKeys, revokeKey, keySet } = issuers[index]!
      for (let turn = 0; turn < TURNS; turn++) {
        const kind = (index + turn) % 4
        if (kind === 0) await rotateKeys.rotate({ immediately: true, by: 'test' })
        else if (kind === 1) await rotateKeys.upkeep()
        else if (kind === 2) await rotateKeys.takeOver(own)
        else await revokeKey(keySet.current().kid, 'test')
      }
    }
    await Promise.all(issuers.map((_, index) => act(index)))
    watching = false
    await watched
    seen.push(await signingKeys.all())

    const kidsIn = (keys: StoredSigningKey[], state: string) =>
      keys.filter((key) => key.state === state).map(({ kid }) => kid)
    for (const keys of seen) {
      if (kidsIn(keys, 'current').length !== 1) t.fail(`${kidsIn(keys, 'current').length} current keys`)
      if (kidsIn(keys, 'next').length > 1) t.fail('two next keys')
    }
    t.ok(seen.length > 1)
    // Every change of the signing key was seen to by one issuer, and is in the audit log of that one.
    const changes = issuers.flatMap(({ audited }) => audited.filter(({ event }) => event === 'signing_key_rotated'))
    const last = seen.at(-1)!
    const signed = last.filter(({ state, signsFrom }) => state !== 'next' && signsFrom !== null)
    const revoked = last.filter(({ revokedAt }) => revokedAt !== null)
    t.equal(new Set(changes.map(({ facts }) => facts.kid)).size, changes.length, 'no key took over twice')
    t.ok(revoked.length > 0 && changes.length > 0, `${changes.length} rotations, ${revoked.length} revocations`)
    t.ok(signed.length <= 1 + changes.length + revoked.length)
    const gone = new Set<string>()
    for (const keys of seen) {
      for (const { kid, state } of keys) {
        if (state === 'gone') gone.add(kid)
        else if (gone.has(kid)) t.fail(`${kid} came back`)
      }
    }
    await Promise.all(issuers.map(({ keySet }) => keySet.reload()))
    t.equal(new Set(issuers.map(({ keySet }) => keySet.current().kid)).size, 1, 'all agree in the end')
  })
}
