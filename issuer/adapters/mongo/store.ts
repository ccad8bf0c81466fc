import type { DurablePorts, Store } from '../store.ts'
import { attempt, createMongoClient, requireReplicaSet } from './connect.ts'
import { createMongoLedger } from './ledger.ts'
import { migrateMongo } from './migrate.ts'
import { createMongoSigningKeys } from './signing-keys.ts'
import { createMongoUsers } from './users.ts'

/**
 * Users, ledger and signing keys in MongoDB.
 * @throws Error when the URL can't be parsed
 */
export function createMongoStore(url: string): Store<DurablePorts> {
  const { client, db } = createMongoClient(url)
  return {
    name: 'MongoDB',
    ports: {
      users: createMongoUsers(db),
      ledger: createMongoLedger(client, db),
      signingKeys: createMongoSigningKeys(client, db),
    },
    async open() {
      // Asked for explicitly: a client whose first operation found no server stays closed for good (driver 7.9).
      await attempt(() => client.connect())
      await requireReplicaSet(db)
      await migrateMongo(db)
    },
    ping: () => attempt(() => db.command({ ping: 1 })),
    close: () => client.close(),
  }
}
