import type { DurablePorts, Store } from '../store.ts'
import { createMongoClients } from './clients.ts'
import { attempt, createMongoClient, requireReplicaSet } from './connect.ts'
import { createMongoIssuerReports } from './issuer-reports.ts'
import { createMongoLedger } from './ledger.ts'
import { migrateMongo } from './migrate.ts'
import { createMongoOneTimeTokens } from './one-time-tokens.ts'
import { createMongoRoles } from './roles.ts'
import { createMongoSigningKeys } from './signing-keys.ts'
import { createMongoUsers } from './users.ts'

/**
 * Users, ledger and signing keys in MongoDB.
 * @param ca PEM of a certificate authority to trust instead of the usual ones; with it, only TLS is spoken
 * @throws Error when the URL can't be parsed
 */
export function createMongoStore(url: string, ca?: string): Store<DurablePorts> {
  const { client, db } = createMongoClient(url, ca)
  return {
    name: 'MongoDB',
    ports: {
      users: createMongoUsers(db),
      roles: createMongoRoles(db),
      ledger: createMongoLedger(client, db),
      issuerReports: createMongoIssuerReports(client, db),
      signingKeys: createMongoSigningKeys(client, db),
      clients: createMongoClients(db),
      oneTimeTokens: createMongoOneTimeTokens(db),
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
