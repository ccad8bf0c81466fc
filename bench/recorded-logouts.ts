import { randomUUID } from 'node:crypto'
import { openSqliteStore } from '../issuer/adapters/sqlite/store.ts'
import { systemClock } from '../shared/clock.ts'
import { revocationId } from '../shared/revocation.ts'

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
