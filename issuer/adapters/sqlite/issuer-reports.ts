import type { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../../../shared/clock.ts'
import type { IssuerReport } from '../../domain/issuer-report.ts'
import type { IssuerReports } from '../../domain/ports.ts'
import { attempt, inTransaction } from './connect.ts'

const KEPT_MS = 86_400_000

type Row = Omit<IssuerReport, 'lifetimeS' | 'kafka'> & { lifetimeS: number | null; kafka: number }

/** The reports of issuers in SQLite: several may use one file, by turns or at once. */
export function createSqliteIssuerReports(db: DatabaseSync, clock: Clock): IssuerReports {
  const select = db.prepare('SELECT * FROM issuers')
  const all = () => (select.all() as unknown as Row[]).map(toReport)
  const report = db.prepare(`
    INSERT INTO issuers (instance, lifetimeS, kafka, settledAt, at) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (instance) DO UPDATE SET
      lifetimeS = excluded.lifetimeS, kafka = excluded.kafka, settledAt = excluded.settledAt, at = excluded.at
  `)
  const forget = db.prepare('DELETE FROM issuers WHERE at <= ?')
  return {
    exchange: ({ instance, lifetimeS, kafka, settledAt }) =>
      attempt(() =>
        inTransaction(db, () => {
          forget.run(clock.now() - KEPT_MS)
          report.run(instance, lifetimeS ?? null, Number(kafka), settledAt, clock.now())
          return all()
        }),
      ),
    all: () => attempt(all),
  }
}

function toReport({ lifetimeS, kafka, ...rest }: Row): IssuerReport {
  return { ...rest, lifetimeS: lifetimeS ?? undefined, kafka: kafka === 1 }
}
