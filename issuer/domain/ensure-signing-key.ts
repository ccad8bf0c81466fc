import type { Clock } from '../../shared/clock.ts'
import type { Algorithm, SigningKeyPair } from '../../shared/jws.ts'
import { generateSigningKey } from './generate-key.ts'
import { inState } from './key-life.ts'
import { type KeySealing, sealKeyPair } from './key-sealing.ts'
import type { SigningKeys } from './ports.ts'

/**
 * Sees to it that there is a current signing key. Of several issuers that start at once one stores its key, and the
 * others find it there.
 * @param own the key to begin with; without one it is generated
 */
export async function ensureSigningKey(
  { signingKeys, sealing, clock }: { signingKeys: SigningKeys; sealing: KeySealing; clock: Clock },
  alg: Algorithm,
  own?: SigningKeyPair,
): Promise<void> {
  if (inState(await signingKeys.all(), 'current')) return
  const nowMs = clock.now()
  const first = sealKeyPair(sealing, own ?? (await generateSigningKey(alg)), nowMs)
  await signingKeys.change((keys) =>
    inState(keys, 'current') ? keys : [...keys, { ...first, state: 'current', signsFrom: nowMs }],
  )
}
