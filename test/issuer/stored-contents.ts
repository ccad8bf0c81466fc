import { join } from 'node:path'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { MongoClient } from 'mongodb'
import type { Test } from 'tap'
import { dropDatabase } from '../helpers/drop-database.ts'

/** What is in a store: rows by table, or documents by collection. */
export type Contents = Record<string, object[]>

/** An embedded store as somebody sees it who opens its file beside the issuer. */
export interface StoredContents {
  read(): Contents
  /** Puts back what was there. */
  restore(contents: Contents): void
}

export function sqliteContents(t: Test, dataDir: string): StoredContents {
  const db = new DatabaseSync(join(dataDir, 'sallyport.db'))
  t.teardown(() => db.close())
  // What is put back here need not outlive the machine.
  db.exec('PRAGMA synchronous = OFF')
  const tables = db.prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`).all()
  const selects = tables.map(({ name }) => [String(name), db.prepare(`SELECT * FROM ${name} ORDER BY 1`)] as const)
  const read = () => Object.fromEntries(selects.map(([name, select]) => [name, select.all() as object[]]))
  return {
    read,
    restore(contents) {
      db.exec('BEGIN IMMEDIATE')
      // Triggers fill `userRoles` from `users`.
      for (const [name, rows] of Object.entries(contents).filter(([table]) => table !== 'userRoles')) {
        db.exec(`DELETE FROM ${name}`)
        for (const row of rows) {
          const values = Object.values(row) as SQLInputValue[]
          const places = values.map(() => '?').join()
          db.prepare(`INSERT INTO ${name} (${Object.keys(row).join()}) VALUES (${places})`).run(...values)
        }
      }
      db.exec('COMMIT')
    },
  }
}

/** @returns reads all collections of a database; it is deleted with the test */
export async function mongoContents(t: Test, url: string): Promise<() => Promise<Contents>> {
  const client = await MongoClient.connect(url, { serverSelectionTimeoutMS: 5000 })
  t.teardown(async () => {
    await dropDatabase(client.db())
    await client.close()
  })
  return async () => {
    const names = (await client.db().listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name).sort()
    const documents = names.map((name) =>
      client
        .db()
        .collection(name)
        .find({}, { sort: { _id: 1 } })
        .toArray(),
    )
    const contents = await Promise.all(documents)
    return Object.fromEntries(names.map((name, index) => [name, contents[index]!]))
  }
}
