import type { DatabaseSync } from 'node:sqlite'
import { inTransaction } from './connect.ts'

/** Each step is run once, in order, and never changed again; `user_version` says how many were. */
const STEPS = [
  `
  CREATE TABLE users (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL,
    emailKey TEXT NOT NULL UNIQUE,
    username TEXT,
    usernameKey TEXT UNIQUE,
    passwordHash TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    roles TEXT NOT NULL,
    tier TEXT NOT NULL,
    isActive INTEGER NOT NULL,
    isVerified INTEGER NOT NULL,
    createdAt INTEGER NOT NULL,
    updatedAt INTEGER NOT NULL,
    lastLogin INTEGER
  ) STRICT;

  -- No foreign key to users: either table's rows may live in another store.
  CREATE TABLE sessions (
    sid TEXT PRIMARY KEY,
    sub TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    nonceHash TEXT NOT NULL,
    createdAt INTEGER NOT NULL,
    rotatedAt INTEGER NOT NULL,
    expiresAt INTEGER NOT NULL,
    idleExpiresAt INTEGER NOT NULL,
    userAgent TEXT,
    address TEXT
  ) STRICT;
  CREATE INDEX sessionsBySub ON sessions (sub);
  CREATE INDEX sessionsByEnd ON sessions (idleExpiresAt);

  -- AUTOINCREMENT: a number is never given twice, so that a reader's place in the ledger outlives deletions.
  CREATE TABLE ledger (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    revocation TEXT NOT NULL,
    exp INTEGER NOT NULL,
    keepUntilMs INTEGER NOT NULL,
    publishedAt INTEGER
  ) STRICT;
  CREATE INDEX ledgerUnpublished ON ledger (seq) WHERE publishedAt IS NULL;
  CREATE INDEX ledgerByEnd ON ledger (keepUntilMs);

  CREATE TABLE signingKeys (
    kid TEXT PRIMARY KEY,
    alg TEXT NOT NULL,
    state TEXT NOT NULL,
    sealedPrivateKey TEXT NOT NULL,
    createdAt INTEGER NOT NULL,
    retiredAt INTEGER
  ) STRICT;
  CREATE UNIQUE INDEX oneCurrentKey ON signingKeys (state) WHERE state = 'current';
  `,
]

/**
 * Brings the tables up to date; several processes may do it at once.
 * @throws Error when the file was written by a newer version
 */
export function migrateSqlite(db: DatabaseSync): void {
  inTransaction(db, () => {
    const { user_version: version } = db.prepare('PRAGMA user_version').get() as { user_version: number }
    if (version > STEPS.length) {
      throw new Error(`the database is of version ${version}; this program knows versions up to ${STEPS.length}`)
    }
    for (const step of STEPS.slice(version)) db.exec(step)
    db.exec(`PRAGMA user_version = ${STEPS.length}`)
  })
}
