import { type Administration, OPERATOR, PERMISSIONS, publicClient } from '../issuer/administration.ts'
import { systemClock } from '../shared/clock.ts'
import { duration, isNearMiss } from '../shared/settings.ts'
import { administer } from './administer.ts'

type Result = Awaited<ReturnType<Administration['clients']['create']>>

/** Creates a service client and prints it with its secret, as JSON. */
export async function createClient(env: NodeJS.ProcessEnv, name: string, permissions: string[]): Promise<void> {
  await administer(env, async ({ clients, stores }) => {
    printWithSecret(await clients.create({ name, permissions }, OPERATOR))
    const ofRoles = (await stores.roles.all()).flatMap((role) => role.permissions)
    for (const note of notesOn(new Set(permissions), new Set(ofRoles)))
      process.stderr.write(`sallyport: note: ${note}\n`)
  })
}

/** Services may ask for what this issuer knows nothing of: that is said, and no more, for it may be a slip of the hand. */
function notesOn(permissions: ReadonlySet<string>, ofRoles: ReadonlySet<string>): string[] {
  const own = Object.keys(PERMISSIONS)
  return [...permissions]
    .filter((permission) => !own.includes(permission) && !ofRoles.has(permission))
    .map((permission) => {
      const meant = own.find((candidate) => isNearMiss(candidate, permission))
      const question = meant ? `; did you mean ${meant}?` : ''
      return `no route of this issuer asks for ${permission} and no role has it: it is for your services to ask for${question}`
    })
}

const PAGE = 100

/** Prints every service client, a line of JSON each, by id. */
export async function listClients(env: NodeJS.ProcessEnv): Promise<void> {
  await administer(env, async ({ clients }) => {
    for (let after: string | undefined, more = true; more; more = after !== undefined) {
      const page = await clients.list(after, PAGE)
      for (const client of page) print(publicClient(client, systemClock.now()))
      after = page.length === PAGE ? page.at(-1)!.id : undefined
    }
  })
}

const OVERLAP = duration('0s', '30d')

/**
 * Gives a service client a new secret and prints it.
 * @param overlap how long the one before still holds, such as 24h; `0s` ends it and the tokens it got
 */
export async function rotateClientSecret(env: NodeJS.ProcessEnv, id: string, overlap: string): Promise<void> {
  const overlapMs = OVERLAP.read(overlap)
  if (overlapMs === undefined) throw new Error(`--overlap: ${JSON.stringify(overlap)} is not ${OVERLAP.expects}`)
  await administer(env, async ({ clients }) => printWithSecret(await clients.rotateSecret(id, overlapMs, OPERATOR)))
}

/** Deletes a service client; its tokens end through the ledger. */
export async function deleteClient(env: NodeJS.ProcessEnv, id: string): Promise<void> {
  await administer(env, async ({ clients }) => {
    const result = await clients.delete(id, OPERATOR)
    if (!result.ok) throw new Error(NOT_FOUND)
    const { propagated } = result.ended
    print({ message: 'the client is deleted', propagated })
  })
}

const NOT_FOUND = 'there is no such client'

function printWithSecret(result: Result): void {
  if (!result.ok) throw new Error('errors' in result ? result.errors.join('; ') : NOT_FOUND)
  print({ ...publicClient(result.client, systemClock.now()), client_secret: result.secret })
}

function print(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
