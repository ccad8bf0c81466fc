import type { Answer, Connection } from './connection.ts'

export const PASSWORD = 'a long enough pass phrase'

/** The three workloads of the source document, and `users` and `sessions`, which prepare others. */
export type WorkloadName = 'register' | 'register-login' | 'refresh'

/** Notes how long one request took, under its name: milliseconds. */
export type Note = (name: string, ms: number) => void

/** One turn of a lane; lanes work in parallel, each on a connection of its own. */
export type Turn = (connection: Connection, lane: number, note: Note) => Promise<void>

const REFRESH_USERS = 10

/** @param prefix of every user's name, so that no two runs have one in common */
export function createWorkload(name: WorkloadName, prefix: string): { prepare: Turn; turn: Turn } {
  let users = 0
  const nextEmail = () => `${prefix}-${users++}@example.com`
  const tokens: string[] = []
  const nothing: Turn = async () => {}
  const registerOne: Turn = async (connection, _lane, note) => {
    await timed('register', note, () => register(connection, nextEmail()))
  }
  const registerAndLogin: Turn = async (connection, _lane, note) => {
    const email = nextEmail()
    await timed('register', note, () => register(connection, email))
    await timed('login', note, () => login(connection, email))
  }
  /** Ten users; each lane has a session of one of them, so that every refresh rotates. */
  const startSession: Turn = async (connection, lane) => {
    const email = `${prefix}-lane${lane % REFRESH_USERS}@example.com`
    const { status } = await register(connection, email, [201, 409])
    if (status === 409 || status === 201) tokens[lane] = await login(connection, email)
  }
  const refreshOne: Turn = async (connection, lane, note) => {
    tokens[lane] = await timed('refresh', note, () => refresh(connection, tokens[lane]!))
  }
  return {
    register: { prepare: nothing, turn: registerOne },
    'register-login': { prepare: nothing, turn: registerAndLogin },
    refresh: { prepare: startSession, turn: refreshOne },
  }[name]
}

export function register(connection: Connection, email: string, expected = [201]): Promise<Answer> {
  return expecting(expected, connection.post('/auth/register', { email, password: PASSWORD }))
}

/** @returns the refresh token */
export async function login(connection: Connection, email: string): Promise<string> {
  const answer = await expecting(
    [200],
    connection.post('/auth/login', { email, password: PASSWORD, transport: 'body' }),
  )
  return refreshTokenOf(answer)
}

/** @returns the next refresh token. @throws Error when it is the same: nothing was rotated then */
export async function refresh(connection: Connection, token: string): Promise<string> {
  const next = refreshTokenOf(await expecting([200], connection.post('/auth/refresh', { refresh_token: token })))
  if (next === token) throw new Error('the refresh token was not rotated')
  return next
}

async function expecting(statuses: number[], sent: Promise<Answer>): Promise<Answer> {
  const answer = await sent
  if (!statuses.includes(answer.status)) throw new Error(`answered ${answer.status}: ${answer.body.slice(0, 300)}`)
  return answer
}

function refreshTokenOf({ body }: Answer): string {
  return (JSON.parse(body) as { refresh_token: string }).refresh_token
}

async function timed<T>(name: string, note: Note, work: () => Promise<T>): Promise<T> {
  const begin = performance.now()
  const result = await work()
  note(name, performance.now() - begin)
  return result
}
