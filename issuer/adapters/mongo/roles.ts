import type { Db } from 'mongodb'
import type { Roles } from '../../domain/ports.ts'
import type { Role } from '../../domain/role.ts'
import { attempt, isDuplicateKey, MAJORITY } from './connect.ts'

type RoleDocument = Omit<Role, 'name'> & { _id: string }

/** Roles in MongoDB. */
export function createMongoRoles(db: Db): Roles {
  const roles = db.collection<RoleDocument>('roles')
  return {
    all: () =>
      attempt(async () => {
        const documents = await roles.find({}, { ...MAJORITY, sort: { _id: 1 } }).toArray()
        return documents.map((document) => toRole(document)!)
      }),
    insert: async ({ name, ...rest }) => {
      try {
        await attempt(() => roles.insertOne({ _id: name, ...rest }))
        return true
      } catch (error) {
        if (!isDuplicateKey(error)) throw error
        return false
      }
    },
    update: (name, change) =>
      attempt(async () => {
        const given = Object.entries(change).filter(([, value]) => value !== undefined)
        const changes = { $set: Object.fromEntries(given) as Partial<RoleDocument> }
        return toRole(await roles.findOneAndUpdate({ _id: { $eq: name } }, changes, { returnDocument: 'after' }))
      }),
    delete: (name) => attempt(async () => (await roles.deleteOne({ _id: { $eq: name } })).deletedCount > 0),
  }
}

function toRole(document: RoleDocument | null): Role | undefined {
  if (!document) return undefined
  const { _id, ...rest } = document
  return { name: _id, ...rest }
}
