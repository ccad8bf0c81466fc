import { generateKeyPair as generate, type KeyObject } from 'node:crypto'
import type { Clock } from '../../shared/clock.ts'
import { ALGORITHMS, type Algorithm } from '../../shared/jws.ts'
import type { KeySealing } from './key-sealing.ts'
import { thumbprint } from './key-set.ts'
import type { SigningKeys } from './ports.ts'
import type { StoredSigningKey } from './signing-key.ts'

const RSA_BITS = 3072

/**
 * Sees to it that there is a current signing key. Of several issuers that start at once one adds its key, and the
 * others find it there.
 */
export async function ensureSigningKey(
  { signingKeys, sealing, clock }: { signingKeys: SigningKeys; sealing: KeySealing; clock: Clock },
  alg: Algorithm,
): Promise<void> {
  if ((await signingKeys.all()).some(({ state }) => state === 'current')) return
  await signingKeys.insertFirst(await newSigningKey(alg, sealing, clock))
}

async function newSigningKey(alg: Algorithm, sealing: KeySealing, clock: Clock): Promise<StoredSigningKey> {
  const { publicKey, privateKey } = await generateKeyPair(alg)
  const kid = thumbprint(publicKey)
  return {
    kid,
    alg,
    state: 'current',
    sealedPrivateKey: sealing.seal(kid, privateKey.export({ format: 'der', type: 'pkcs8' })),
    createdAt: clock.now(),
    retiredAt: null,
  }
}

function generateKeyPair(alg: Algorithm): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, publicKey: KeyObject, privateKey: KeyObject) =>
      error ? reject(error) : resolve({ publicKey, privateKey })
    const { keyType, curve } = ALGORITHMS[alg]
    if (keyType === 'ec') generate('ec', { namedCurve: curve }, done)
    else if (keyType === 'rsa') generate('rsa', { modulusLength: RSA_BITS }, done)
    else generate('ed25519', {}, done)
  })
}
