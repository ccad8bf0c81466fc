import { type Administration, OPERATOR, publicUser, readUserQuery, SUPERUSER_ROLE } from '../issuer/administration.ts'
import { administer } from './administer.ts'
import { readPassword } from './read-password.ts'

type Found = NonNullable<Awaited<ReturnType<Administration['find']>>>

export interface CreateOptions {
  email: string
  username?: string
  role?: string[]
  superuser?: boolean
  verified?: boolean
  passwordFile?: string
}

/** Creates a user and prints them. The first superuser is made by this: nobody can register as one. */
export async function createUser(env: NodeJS.ProcessEnv, options: CreateOptions): Promise<void> {
  const { email, username, role = [], superuser = false, verified = superuser, passwordFile } = options
  const password = await readPassword(passwordFile)
  const roles = superuser ? [...role, SUPERUSER_ROLE] : role
  await administer(env, async ({ createUser }) => {
    const created = await createUser({ email, username, password, roles, isVerified: verified })
    if (!created.ok) throw new Error(created.errors.join('; '))
    print(publicUser(created.user))
  })
}

export interface ListOptions {
  email?: string
  username?: string
  role?: string
  tier?: string
  inactive?: boolean
}

const PAGE = 200

/** Prints users, a line of JSON each, page by page: newest first, or by address or name when one is searched for. */
export async function listUsers(env: NodeJS.ProcessEnv, { inactive, ...search }: ListOptions): Promise<void> {
  const read = readUserQuery({ ...search, ...(inactive && { isActive: false }), limit: PAGE })
  if (!read.ok) throw new Error(read.errors.join('; '))
  await administer(env, async ({ users }) => {
    const { query } = read
    for (let after: typeof query.after | undefined, more = true; more; more = after !== undefined) {
      const page = await users.page({ ...query, ...(after && { after }) })
      for (const user of page.users) print(publicUser(user))
      after = page.next
    }
  })
}

/** Prints one user and the sessions. */
export async function showUser(env: NodeJS.ProcessEnv, name: string): Promise<void> {
  await administer(env, async (administration) => {
    const user = await find(administration, name)
    const sessions = (await administration.users.sessions(user.id)) ?? []
    print({ ...publicUser(user), sessions: sessions.length })
  })
}

/** Gives a user these roles and no others. */
export async function setRoles(env: NodeJS.ProcessEnv, name: string, roles: string[]): Promise<void> {
  await change(env, name, { roles: [...new Set(roles)] })
}

/** Ends every session and lets the user not log in again. */
export async function deactivateUser(env: NodeJS.ProcessEnv, name: string): Promise<void> {
  await change(env, name, { isActive: false })
}

async function change(env: NodeJS.ProcessEnv, name: string, what: { roles?: string[]; isActive?: boolean }) {
  await administer(env, async (administration) => {
    const { id } = await find(administration, name)
    const result = await administration.users.update(id, what, OPERATOR)
    if (!result.ok) throw new Error('errors' in result ? result.errors.join('; ') : REFUSALS[result.code])
    print({ ...publicUser(result.user), ...(result.ended && shown(result.ended)) })
  })
}

const REFUSALS = {
  not_found: 'there is no such user',
  forbidden: 'this is not allowed',
  conflict: 'the user was changed at the same time; try again',
  last_superuser: 'this is the last superuser who is active',
}

/** Ends every session of a user. */
export async function logoutUser(env: NodeJS.ProcessEnv, name: string): Promise<void> {
  await administer(env, async (administration) => {
    const { id } = await find(administration, name)
    const ended = await administration.users.logout(id, OPERATOR)
    if (!ended) throw new Error(REFUSALS.not_found)
    print({ id, ...shown(ended) })
  })
}

/** `propagated: false`: it is safe in the ledger, and a running issuer publishes it. */
function shown({ sessions, propagated }: { sessions: number; propagated: boolean }) {
  return { invalidated_tokens: sessions, propagated }
}

async function find(administration: Administration, name: string): Promise<Found> {
  const user = await administration.find(name)
  if (!user) throw new Error(REFUSALS.not_found)
  return user
}

function print(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
