import { administerKeys, type KeyAdministration } from '../issuer/key-administration.ts'
import { administer } from './administer.ts'

/** Who did it, in the audit log. */
const BY = 'command line'

/** Prints every signing key, a line of JSON each, oldest first. */
export async function listKeys(env: NodeJS.ProcessEnv): Promise<void> {
  await withKeys(env, async (keys) => {
    for (const key of await keys.list()) print(key)
  })
}

/** Lets the next signing key take over, and prints which and when. @param immediately without waiting for verifiers */
export async function rotateKeys(env: NodeJS.ProcessEnv, immediately: boolean): Promise<void> {
  await withKeys(env, async ({ rotate }) => {
    const result = await rotate({ immediately, by: BY })
    if (!result.ok) throw new Error(result.detail)
    print({ kid: result.kid, effective_at: new Date(result.effectiveAt).toISOString() })
  })
}

/** Declares a signing key compromised. */
export async function revokeKey(env: NodeJS.ProcessEnv, kid: string): Promise<void> {
  await withKeys(env, async ({ revoke }) => {
    const result = await revoke(kid, BY)
    if (!result.ok) throw new Error('there is no such key; `sallyport keys list` shows them')
    const { current, propagated } = result
    print({ message: 'the key is revoked; running issuers tell the sidecars', current, propagated })
  })
}

function withKeys(env: NodeJS.ProcessEnv, act: (keys: KeyAdministration) => Promise<void>): Promise<void> {
  return administer(env, (administration) => act(administerKeys(env, administration)))
}

function print(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
