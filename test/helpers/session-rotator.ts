import { openSqliteStore } from '../../issuer/adapters/sqlite/store.ts'
import { systemClock } from '../../shared/clock.ts'

/**
 * A process of its own that opens the store in a folder and presents the first token of each session of a user.
 * Arguments: folder, the user's id. Prints the outcome and the id of each.
 */
const [folder = '', sub = ''] = process.argv.slice(2)
const { ports } = openSqliteStore(folder, systemClock, (error) => {
  throw error
})
for (const { sid, nonceHash } of await ports.sessions.list(sub, Date.now())) {
  const claim = { sid, nonceHash, generation: 0, nowMs: Date.now(), idleMs: 60_000 }
  const { outcome } = await ports.sessions.rotate(claim)
  process.stdout.write(`${outcome} ${sid}\n`)
}
