import { readFileSync, statSync } from 'node:fs'
import { readKeycloakUser } from '../domain/keycloak-user.ts'
import type { Line, LinePlace } from './file-lines.ts'

/** It is read at once: what a realm has beside its users comes first in it. */
const MAX_BYTES = 400 * 1024 * 1024

export interface KeycloakUsers {
  count: number
  /** A user each, where other files have a line; offsets are counted in users. */
  lines(from: LinePlace): AsyncGenerator<Line>
}

/**
 * Opens a realm export of Keycloak: `REALM-realm.json` or one of `REALM-users-N.json`, an object with `users`.
 * @throws the file system's error, Error for a file that is none
 */
export function openKeycloakUsers(file: string, dropSecondFactors: boolean): KeycloakUsers {
  if (statSync(file).size > MAX_BYTES) {
    throw new Error(
      `${file}: larger than 400 MiB; export with \`--users different_files\`, and import one after the other`,
    )
  }
  const users = readUsers(file)
  return {
    count: users.length,
    async *lines({ offset }) {
      for (const [index, user] of users.slice(offset).entries()) {
        const number = offset + index + 1
        const read = readKeycloakUser(user, dropSecondFactors)
        if (read.ok) yield { number, end: number, text: JSON.stringify(read.record), leftOut: read.leftOut }
        else yield { number, end: number, text: undefined, refused: read.reason }
      }
    },
  }
}

function readUsers(file: string): unknown[] {
  try {
    const { users } = JSON.parse(readFileSync(file, 'utf8')) as { users?: unknown }
    if (Array.isArray(users)) return users
  } catch (error) {
    // Its own text has a piece of the file in it.
    if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error
  }
  throw new Error(`${file}: not a realm export of Keycloak with users in it`)
}
