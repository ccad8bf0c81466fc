import { randomUUID } from 'node:crypto'
import { openSqliteStore } from '../issuer/adapters/sqlite/store.ts'
import { systemClock } from '../shared/clock.ts'
import { revocationId } from '../shared/revocation.ts'
import { login, refresh, register } from '../test/helpers/client.ts'

/** Access tokens that one login and its refreshes give. */
const TOKENS_A_LOGIN = 40

/**
 * Gets access tokens as clients do, each another one. A refresh gives a new token as a login does, but hashes no password.
 * @throws Error when the issuer refuses
 */
export async function obtainTokens(issuerUrl: string, count: number): Promise<string[]> {
  const tokens: string[] = []
  const oneClient = async () => {
    let { access_token, refresh_token } = await login(issuerUrl, await register(issuerUrl))
    for (let n = 0; n < TOKENS_A_LOGIN; n++) {
      tokens.push(access_token)
      const { status, body } = await refresh(issuerUrl, refresh_token)
      if (status !== 200) throw new Error(`refresh answered ${status}`)
      ;({ access_token, refresh_token } = body)
    }
  }
  await Promise.all(Array.from({ length: Math.ceil(count / TOKENS_A_LOGIN) }, oneClient))
  return tokens.slice(0, count)
}

/** Entries written in one transaction. */
const BATCH = 10_000

/**
 * Leaves in the ledger of an issuer that is not running what as many logouts would have left there: published revocations.
 * @param folder its data folder
 * @param lifetimeS how long the revocations count: seconds
 */
export async function recordLogouts(folder: string, count: number, lifetimeS: number): Promise<void> {
  const store = openSqliteStore(folder, systemClock, (error) => {
    throw error
  })
  const { ledger } = store.ports
  try {
    const exp = Math.floor(systemClock.now() / 1000) + lifetimeS
    for (let done = 0; done < count; done += BATCH) {
      const entries = Array.from({ length: Math.min(BATCH, count - done) }, () => {
        const revocation = { kind: 'session', sid: randomUUID(), sub: randomUUID(), exp } as const
        return { id: revocationId(revocation), revocation, keepUntilMs: exp * 1000 }
      })
      await ledger.record(entries)
      await ledger.markPublished(entries.map(({ id }) => id))
    }
  } finally {
    await store.close()
  }
}
