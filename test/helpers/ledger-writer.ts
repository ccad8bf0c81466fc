import { openSqliteStore } from '../../issuer/adapters/sqlite/store.ts'
import { systemClock } from '../../shared/clock.ts'

/**
 * A process of its own that opens the store in a folder and records entries, each printed when `record` has returned.
 * Arguments: folder, a name for its entries, how many.
 */
const [folder = '', name = '', count = ''] = process.argv.slice(2)
const { ports } = openSqliteStore(folder, systemClock, (error) => {
  throw error
})
process.stdout.write('open\n')
for (let n = 0; n < Number(count); n++) {
  const sid = `${name}-${n}`
  const revocation = { kind: 'session', sid, sub: 'sub', exp: 4_102_444_800 } as const
  await ports.ledger.record([{ id: `session:${sid}`, revocation, keepUntilMs: 4_102_444_800_000 }])
  process.stdout.write(`recorded session:${sid}\n`)
  // Leaves the turn to stdout.
  await new Promise((resolve) => setImmediate(resolve))
}
