import type { Db } from 'mongodb'
import type { Client } from '../../domain/client.ts'
import type { Clients } from '../../domain/ports.ts'
import { attempt, LINEARIZABLE } from './connect.ts'

type ClientDocument = Omit<Client, 'id'> & { _id: string }

/**
 * Service clients in MongoDB. Filters compare with `$eq`, so that a value from outside can never be an operator. `byId`
 * is linearizable: it decides whether a client gets a token.
 */
export function createMongoClients(db: Db): Clients {
  const clients = db.collection<ClientDocument>('clients')
  const after = { returnDocument: 'after' } as const
  return {
    insert: ({ id, ...rest }) => attempt(async () => void (await clients.insertOne({ _id: id, ...rest }))),
    byId: (id) => attempt(async () => toClient(await clients.findOne({ _id: { $eq: id } }, LINEARIZABLE))),
    list: (from, limit) =>
      attempt(async () => {
        const filter = from === undefined ? {} : { _id: { $gt: from } }
        const found = await clients.find(filter, { sort: { _id: 1 }, limit }).toArray()
        return found.map((document) => toClient(document)!)
      }),
    update: (id, change, raiseEpoch) =>
      attempt(async () => {
        const given = Object.entries(change).filter(([, value]) => value !== undefined)
        const update = {
          ...(given.length > 0 && { $set: Object.fromEntries(given) as Partial<ClientDocument> }),
          $inc: { epoch: Number(raiseEpoch) },
        }
        return toClient(await clients.findOneAndUpdate({ _id: { $eq: id } }, update, after))
      }),
    rotateSecret: (id, { secretHash, previousUntil, nowMs }, raiseEpoch) =>
      attempt(async () => {
        // A pipeline, for the secret that was there becomes the one before; its expressions read what was before it.
        const rotation = {
          secretHash: { $literal: secretHash },
          previousSecretHash: previousUntil === null ? null : '$secretHash',
          previousSecretUntil: previousUntil,
          updatedAt: nowMs,
          epoch: { $add: ['$epoch', Number(raiseEpoch)] },
        }
        return toClient(await clients.findOneAndUpdate({ _id: { $eq: id } }, [{ $set: rotation }], after))
      }),
    delete: (id) => attempt(async () => (await clients.deleteOne({ _id: { $eq: id } })).deletedCount > 0),
  }
}

function toClient(document: ClientDocument | null): Client | undefined {
  if (!document) return undefined
  const { _id, ...rest } = document
  return { id: _id, ...rest }
}
