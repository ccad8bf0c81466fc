import { costOf } from '../process-cost.ts'
import type { Party } from '../processes.ts'
import { type Latency, latencyOf } from '../report.ts'
import { type Connection, openConnection } from './connection.ts'
import { ADMIN_EMAIL, seedEmail } from './seeding.ts'
import { threadCostOf, total } from './thread-cost.ts'
import { login, PASSWORD, refresh } from './workloads.ts'

export interface ScaleRow {
  request: string
  latency: Latency
  perSecond: number
  /** Of the issuer, by request: milliseconds. */
  cpuMs: number
}

export interface Scale {
  rows: ScaleRow[]
  issuerBytes: number
}

const LANES = 16
const LOGINS = 400
const REFRESHES = 5000
const PAGES = 200

/** Uses an issuer over the users that {@link seedUsers} put there: anyone of them at random. @param users how many */
export async function measureScale(issuer: Party, users: number): Promise<Scale> {
  const lanes = await Promise.all(Array.from({ length: LANES }, () => openConnection(issuer.url)))
  const anyone = () => seedEmail(Math.floor(Math.random() * users))
  const rows: ScaleRow[] = []

  const tokens: string[] = []
  const measure = async (
    request: string,
    count: number,
    send: (connection: Connection, i: number) => Promise<unknown>,
    connections = lanes,
  ) => {
    const ms: number[] = []
    const before = total(threadCostOf(issuer.pid))
    const begin = performance.now()
    await inLanes(connections, count, async (connection, i) => {
      const sent = performance.now()
      await send(connection, i)
      ms.push(performance.now() - sent)
    })
    const seconds = (performance.now() - begin) / 1000
    const cpuMs = ((total(threadCostOf(issuer.pid)) - before) / count) * 1000
    rows.push({ request, latency: latencyOf(ms), perSecond: count / seconds, cpuMs })
  }

  // What runs first is not compiled yet.
  await inLanes(lanes, LANES, (connection, i) => login(connection, seedEmail(i)))
  await measure('login', LOGINS, async (connection, i) => {
    tokens[i] = await login(connection, anyone())
  })
  // Each session is refreshed once a round: two at once would be a retry of each other.
  await measure('refresh', REFRESHES, async (connection, i) => {
    const session = i % LOGINS
    tokens[session] = await refresh(connection, tokens[session]!)
  })
  const bearer = `Authorization: Bearer ${await accessToken(lanes[0]!, ADMIN_EMAIL)}\r\n`
  const page = async (connection: Connection, query: string) => {
    const { status, body } = await connection.get(`/admin/users?${query}`, bearer)
    if (status !== 200) throw new Error(`the list answered ${status}: ${body.slice(0, 300)}`)
    return JSON.parse(body) as { users: { email: string }[]; next: string | null }
  }
  let next = ''
  await measure('list: the newest 50', PAGES, (connection) => page(connection, 'limit=50'))
  const following = async (connection: Connection) => {
    next = (await page(connection, `limit=50${next && `&after=${next}`}`)).next ?? ''
  }
  await measure('list: page after page', PAGES, following, lanes.slice(0, 1))
  await measure('list: addresses that begin so', PAGES, (connection) =>
    page(connection, `email=${anyone().slice(0, 10)}`),
  )
  await measure('list: of a tier, not verified', PAGES, (connection) =>
    page(connection, 'tier=premium&is_verified=false'),
  )
  for (const connection of lanes) connection.close()
  return { rows, issuerBytes: costOf(issuer.pid).residentBytes }
}

async function accessToken(connection: Connection, email: string): Promise<string> {
  const answer = await connection.post('/auth/login', { email, password: PASSWORD })
  if (answer.status !== 200) throw new Error(`login answered ${answer.status}: ${answer.body}`)
  return (JSON.parse(answer.body) as { access_token: string }).access_token
}

async function inLanes(
  lanes: Connection[],
  count: number,
  send: (connection: Connection, i: number) => Promise<unknown>,
): Promise<void> {
  let begun = 0
  await Promise.all(
    lanes.map(async (connection) => {
      for (let i = begun++; i < count; i = begun++) await send(connection, i)
    }),
  )
}
