import type { Db, MongoClient } from 'mongodb'
import type { IssuerReport } from '../../domain/issuer-report.ts'
import type { IssuerReports } from '../../domain/ports.ts'
import { inSession, MAJORITY, MAX_TIME_MS } from './connect.ts'

/** The heartbeat of one process that uses the ledger; with its report, where it is an issuer's. */
export interface IssuerDocument {
  /** The instance. */
  _id: string
  /** The primary's time. */
  at: Date
  beats?: number
  /** Seconds; 0 for a process that issues nothing. Versions that did not report left it out. */
  lifetimeS?: number
  kafka?: boolean
  settledAt?: Date
}

/** The reports of issuers in MongoDB, beside the heartbeats by which they read the ledger. */
export function createMongoIssuerReports(client: MongoClient, db: Db): IssuerReports {
  const issuers = db.collection<IssuerDocument>('issuers')
  const issuing = { lifetimeS: { $ne: 0 } }
  return {
    exchange: ({ instance, lifetimeS, kafka, settledAt }) =>
      inSession(client, async (session) => {
        const update = [{ $set: { at: '$$NOW', lifetimeS, kafka, settledAt: new Date(settledAt) } }]
        await issuers.updateOne({ _id: instance }, update, { upsert: true, session, maxTimeMS: MAX_TIME_MS })
        return (await issuers.find(issuing, { ...MAJORITY, session }).toArray()).map(toReport)
      }),
    all: () =>
      inSession(client, async (session) =>
        (await issuers.find(issuing, { ...MAJORITY, session }).toArray()).map(toReport),
      ),
  }
}

function toReport({ _id, at, lifetimeS, kafka, settledAt }: IssuerDocument): IssuerReport {
  return {
    instance: _id,
    lifetimeS,
    kafka: kafka ?? false,
    settledAt: (settledAt ?? at).getTime(),
    at: at.getTime(),
  }
}
