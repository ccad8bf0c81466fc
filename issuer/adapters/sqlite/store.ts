import type { Clock } from '../../../shared/clock.ts'
import type { DurablePorts, SessionPorts, Store } from '../store.ts'
import { createSqliteClients } from './clients.ts'
import { attempt, openSqlite } from './connect.ts'
import { createSqliteIssuerReports } from './issuer-reports.ts'
import { createSqliteLedger } from './ledger.ts'
import { migrateSqlite } from './migrate.ts'
import { createSqliteOneTimeTokens } from './one-time-tokens.ts'
import { createSqliteRoles } from './roles.ts'
import { createSqliteSessions } from './sessions.ts'
import { createSqliteSigningKeys } from './signing-keys.ts'
import { startSweep } from './sweep.ts'
import { createSqliteUsers } from './users.ts'

/**
 * Everything in one SQLite file in the folder; expired rows are deleted from it every minute.
 * @param sweepFailed told when that did not work
 * @throws the file system's error, with `code` and `path`, when the folder can't be used
 */
export function openSqliteStore(
  folder: string,
  clock: Clock,
  sweepFailed: (error: unknown) => void,
): Store<DurablePorts & SessionPorts> {
  const db = openSqlite(folder, migrateSqlite)
  const stopSweep = startSweep(db, clock, sweepFailed)
  const probe = db.prepare('PRAGMA user_version')
  return {
    name: 'SQLite',
    ports: {
      users: createSqliteUsers(db),
      roles: createSqliteRoles(db),
      sessions: createSqliteSessions(db),
      ledger: createSqliteLedger(db),
      issuerReports: createSqliteIssuerReports(db, clock),
      signingKeys: createSqliteSigningKeys(db),
      clients: createSqliteClients(db),
      oneTimeTokens: createSqliteOneTimeTokens(db),
    },
    open: async () => {},
    ping: () => attempt(() => probe.get()),
    close() {
      stopSweep()
      db.close()
    },
  }
}
