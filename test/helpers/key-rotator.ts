import { openSqliteStore } from '../../issuer/adapters/sqlite/store.ts'
import { ensureSigningKey } from '../../issuer/domain/ensure-signing-key.ts'
import { systemClock } from '../../shared/clock.ts'
import { keyHolder } from './signing-keys.ts'

/**
 * A process of its own that opens the store in a folder and lets one key after the other take over, as an issuer does.
 * Arguments: folder, how often. Prints the id of each key whose turn it has seen to.
 */
const [folder = '', times = ''] = process.argv.slice(2)
const { ports } = openSqliteStore(folder, systemClock, (error) => {
  throw error
})
const issuer = keyHolder(ports.signingKeys, systemClock)
await ensureSigningKey(issuer, 'ES256')
for (let n = 0; n < Number(times); n++) {
  await issuer.rotateKeys.upkeep()
  await issuer.rotateKeys.rotate({ immediately: true, by: 'test' })
}
for (const { event, facts } of issuer.audited) {
  if (event === 'signing_key_rotated') process.stdout.write(`rotated ${facts.previous} ${facts.kid}\n`)
}
