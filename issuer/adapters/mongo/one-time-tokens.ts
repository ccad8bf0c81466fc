import type { Db } from 'mongodb'
import type { OneTimeToken } from '../../domain/one-time-token.ts'
import type { OneTimeTokens } from '../../domain/ports.ts'
import { attempt } from './connect.ts'

/** The TTL index wants a date. */
type TokenDocument = Omit<OneTimeToken, 'hash' | 'expiresAt'> & { _id: string; expiresAt: Date }

/** Mailed tokens in MongoDB; its TTL index deletes them. Filters compare with `$eq`: no value can be an operator. */
export function createMongoOneTimeTokens(db: Db): OneTimeTokens {
  const tokens = db.collection<TokenDocument>('oneTimeTokens')
  return {
    insert: ({ hash, expiresAt, ...rest }) =>
      attempt(async () => void (await tokens.insertOne({ _id: hash, ...rest, expiresAt: new Date(expiresAt) }))),
    find: (hash) => attempt(async () => toToken(await tokens.findOne({ _id: { $eq: hash } }))),
    take: (hash) => attempt(async () => (await tokens.deleteOne({ _id: { $eq: hash } })).deletedCount > 0),
  }
}

function toToken(document: TokenDocument | null): OneTimeToken | undefined {
  if (!document) return undefined
  const { _id, expiresAt, ...rest } = document
  return { hash: _id, ...rest, expiresAt: expiresAt.getTime() }
}
