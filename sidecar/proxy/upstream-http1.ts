import { isIP, type Socket } from 'node:net'
import { buildConnector, Client } from 'undici'
import type { Upstream } from '../domain/upstream.ts'
import {
  type AnswerHandler,
  CONNECT_TIMEOUT_MS,
  type ConnectionOptions,
  TooManyConnections,
  type UpstreamConnections,
} from './upstream-connections.ts'

/**
 * How long an idle connection to the upstream is kept: milliseconds. Shorter than any common server keeps it (gunicorn's
 * 2 s is the shortest), so that it is this side that closes. undici also looks for a close that has already arrived
 * before it uses a connection again.
 */
const KEEP_ALIVE_MS = 1500

/** One connection: an undici client that has at most one request. */
interface Connection {
  client: Client
  answer: AnswerHandler | undefined
  /** Its place among the idle ones; -1 while it is in use. */
  idleAt: number
}

/**
 * Connections that speak HTTP/1.1, as many as there are requests under way, up to the limit. What was used last is used
 * next, so that those a burst has left behind stay idle and end.
 *
 * Not undici's Pool: that keeps a client for each connection it ever had at once, looks through all of them for each
 * request, and connects anew after a request was broken off, though nobody waits for anything.
 *
 * Certificates are verified, for the upstream's own name: undici takes the `Host` field for it, which is the client's.
 */
export function openHttp1({ origin, socketPath }: Upstream, options: ConnectionOptions): UpstreamConnections {
  const { protocol, hostname } = new URL(origin)
  const servername = protocol === 'https:' ? hostname : undefined
  const connector = buildConnector({
    ca: options.ca,
    timeout: CONNECT_TIMEOUT_MS,
    ...(socketPath !== undefined && { socketPath }),
  })
  // An address is no name that could be asked for (RFC 6066 section 3); it is looked for in the certificate all the same.
  const askedName = isIP(hostname.replace(/[[\]]/g, '')) ? undefined : servername

  const all = new Set<Connection>()
  const idle: Connection[] = []
  let closing = false

  const drop = (connection: Connection) => {
    if (!all.delete(connection)) return
    if (connection.idleAt >= 0) takeOut(idle, connection)
    connection.answer = undefined
    connection.client.destroy().catch(() => {})
  }

  const release = (connection: Connection) => {
    connection.answer = undefined
    if (closing) drop(connection)
    else if (all.has(connection) && connection.idleAt < 0) connection.idleAt = idle.push(connection) - 1
  }

  // An answer without a length ends with its connection (RFC 9112 section 6.3). undici takes a reset for such an end too.
  const watch = (connection: Connection, socket: Socket) => {
    socket.on('error', (error) => {
      if (connection.answer?.state === 'begun') connection.answer.onResponseError(undefined, error)
    })
  }

  const open = (): Connection => {
    const client = new Client(origin, {
      connect: (to, callback) => {
        connector({ ...to, servername: askedName }, (...made) => {
          if (made[1]) watch(connection, made[1])
          callback(...made)
        })
      },
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      keepAliveTimeoutThreshold: 500,
      // A stream may be silent for as long as it likes; the client's end or a revocation ends it.
      bodyTimeout: 0,
    })
    const connection: Connection = { client, answer: undefined, idleAt: -1 }
    all.add(connection)
    client.on('drain', () => release(connection))
    // What has not begun to be sent, undici sends on the next connection; for anything else there is none to be made.
    client.on('disconnect', () => {
      if (connection.answer?.state !== 'waiting') drop(connection)
    })
    client.on('connectionError', () => drop(connection))
    return connection
  }

  return {
    carriesUpgrades: true,
    dispatch(request, answer) {
      const connection = idle.pop() ?? (all.size < options.maxConnections ? open() : undefined)
      if (!connection) {
        answer.onResponseError(undefined, new TooManyConnections())
        return
      }
      connection.idleAt = -1
      connection.answer = answer
      request.servername = servername
      connection.client.dispatch(request as Parameters<Client['dispatch']>[0], answer)
      // One that undici itself refused was never the client's, which says nothing then.
      if (answer.state === 'over' && connection.client.stats.size === 0) release(connection)
    },
    get size() {
      return all.size
    },
    close() {
      closing = true
      for (const connection of [...idle]) drop(connection)
    },
    destroy() {
      closing = true
      for (const connection of [...all]) drop(connection)
    },
  }
}

/** Takes one out of the idle ones, whose last one takes its place. */
function takeOut(idle: Connection[], connection: Connection): void {
  const last = idle.pop()!
  if (last === connection) return
  idle[connection.idleAt] = last
  last.idleAt = connection.idleAt
}
