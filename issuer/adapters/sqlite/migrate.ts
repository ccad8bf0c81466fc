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
  `
  CREATE TABLE clients (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    permissions TEXT NOT NULL,
    isActive INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    secretHash TEXT NOT NULL,
    previousSecretHash TEXT,
    previousSecretUntil INTEGER,
    createdAt INTEGER NOT NULL,
    updatedAt INTEGER NOT NULL
  ) STRICT;

  -- What the login asked the scope to be narrowed to; NULL for all that the user's roles permit.
  ALTER TABLE sessions ADD COLUMN scope TEXT;
  `,
  `
  -- When it began to sign, or the next one is to begin; when it was declared compromised.
  ALTER TABLE signingKeys ADD COLUMN signsFrom INTEGER;
  ALTER TABLE signingKeys ADD COLUMN revokedAt INTEGER;
  UPDATE signingKeys SET signsFrom = createdAt WHERE state <> 'next';
  `,
  `
  -- Mailed single-use tokens, by the SHA-256 of each.
  CREATE TABLE oneTimeTokens (
    hash TEXT PRIMARY KEY,
    sub TEXT NOT NULL,
    purpose TEXT NOT NULL,
    state TEXT NOT NULL,
    expiresAt INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX oneTimeTokensByEnd ON oneTimeTokens (expiresAt);
  `,
  `
  CREATE TABLE roles (
    name TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    permissions TEXT NOT NULL,
    createdAt INTEGER NOT NULL,
    updatedAt INTEGER NOT NULL
  ) STRICT;
  INSERT INTO roles (name, description, permissions, createdAt, updatedAt)
  SELECT column1, column2, column3, now, now FROM (VALUES
    ('subscriber', 'what every user gets at registration', '[]'),
    ('viewer', 'sees users and roles', '["roles:read","users:read"]'),
    ('admin', 'administers users', '["roles:read","sessions:end","users:delete","users:read","users:write"]'),
    ('superuser', 'has every permission', '[]')
  ), (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now);

  -- Who has a role, newest first: kept by triggers, so that no writer can forget it.
  CREATE TABLE userRoles (
    role TEXT NOT NULL,
    createdAt INTEGER NOT NULL,
    userId TEXT NOT NULL,
    PRIMARY KEY (role, createdAt, userId)
  ) STRICT, WITHOUT ROWID;
  INSERT OR IGNORE INTO userRoles SELECT value, createdAt, users.id FROM users, json_each(users.roles);
  CREATE TRIGGER userInserted AFTER INSERT ON users BEGIN
    INSERT OR IGNORE INTO userRoles SELECT value, new.createdAt, new.id FROM json_each(new.roles);
  END;
  CREATE TRIGGER userRolesChanged AFTER UPDATE OF roles ON users WHEN old.roles <> new.roles BEGIN
    DELETE FROM userRoles
    WHERE (role, createdAt, userId) IN (SELECT value, old.createdAt, old.id FROM json_each(old.roles));
    INSERT OR IGNORE INTO userRoles SELECT value, new.createdAt, new.id FROM json_each(new.roles);
  END;
  CREATE TRIGGER userDeleted AFTER DELETE ON users BEGIN
    DELETE FROM userRoles
    WHERE (role, createdAt, userId) IN (SELECT value, old.createdAt, old.id FROM json_each(old.roles));
  END;

  CREATE INDEX usersByCreation ON users (createdAt, id);
  CREATE INDEX usersByTier ON users (tier, createdAt, id);
  CREATE INDEX usersByActivity ON users (isActive, createdAt, id);
  CREATE INDEX usersByVerification ON users (isVerified, createdAt, id);
  `,
  `
  -- What the issuers that use this file say of themselves.
  CREATE TABLE issuers (
    instance TEXT PRIMARY KEY,
    lifetimeS INTEGER,
    kafka INTEGER NOT NULL,
    settledAt INTEGER NOT NULL,
    at INTEGER NOT NULL
  ) STRICT;
  -- Those before this step did not say how long their tokens live.
  INSERT INTO issuers (instance, lifetimeS, kafka, settledAt, at)
  SELECT 'before', NULL, 0, now, now FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now)
  WHERE EXISTS (SELECT 1 FROM signingKeys);

  -- Without a broker entries are never marked: what has expired must not be in the way of the rest.
  DROP INDEX ledgerUnpublished;
  CREATE INDEX ledgerUnpublished ON ledger (exp, seq) WHERE publishedAt IS NULL;
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
