import { type ClientHttp2Session, connect, constants } from 'node:http2'
import { isIP, type Socket } from 'node:net'
import type { Upstream } from '../domain/upstream.ts'
import { Http2Answer } from './http2-answer.ts'
import {
  type AnswerHandler,
  CONNECT_TIMEOUT_MS,
  type ConnectionOptions,
  TooManyConnections,
  type UpstreamConnections,
  type UpstreamRequest,
} from './upstream-connections.ts'

/** How long a connection without requests is kept: milliseconds. A service says so before it closes one (GOAWAY). */
const KEEP_ALIVE_MS = 60_000
/** How long a connection on which a request was left without an answer has to show that it lives: milliseconds. */
const PROBE_MS = 3000
/** How long the orderly end of a connection may take: milliseconds. */
const CLOSE_MS = 5000
/** Requests at once on one connection until the service has said how many it takes. */
const FIRST_STREAMS = 100

/** One connection. */
interface Session {
  http2: ClientHttp2Session
  /** Once it is connected. */
  socket: Socket | undefined
  streams: number
  /** How many the service takes at once. */
  maxStreams: number
  /** Takes no more requests. */
  leaving: boolean
  idleTimer: NodeJS.Timeout | undefined
  /** Runs while it is not known whether anybody is at the other end. */
  probe: NodeJS.Timeout | undefined
}

/**
 * Connections that speak HTTP/2, each with many requests at once: without TLS by prior knowledge (RFC 9113 section 3.3),
 * with it by ALPN. Another is made when the service takes no more requests on those there are.
 *
 * Not undici's HTTP/2 (7.30): it loses the trailers, and what a slow client has not read of the body before them; takes
 * a stream that was reset for one that has ended; sends what was under way again when a connection is lost; and lets
 * uploads wait for one another; and ends an upload that was broken off as one that is complete.
 */
export function openHttp2({ origin }: Upstream, options: ConnectionOptions): UpstreamConnections {
  const sessions = new Set<Session>()
  const { protocol, host, hostname } = new URL(origin)
  const scheme = protocol.slice(0, -1)
  let closing = false

  const end = ({ http2, socket }: Session) => {
    http2.close()
    // Whoever is not there does not end its side either.
    const patience = setTimeout(() => socket?.destroy(), CLOSE_MS).unref()
    http2.once('close', () => clearTimeout(patience))
  }

  const leave = (session: Session) => {
    session.leaving = true
    // In good order: what is under way finishes.
    if (session.streams === 0) end(session)
  }

  const rest = (session: Session) => {
    if (session.leaving || closing) end(session)
    else session.idleTimer = setTimeout(() => leave(session), KEEP_ALIVE_MS).unref()
  }

  /** A request came to its end without a word from the service, for whichever reason: any frame would do. */
  const probe = (session: Session) => {
    const { http2 } = session
    if (session.probe || session.leaving || http2.closed || http2.destroyed) return
    session.probe = setTimeout(() => leave(session), PROBE_MS).unref()
    http2.ping(() => {
      clearTimeout(session.probe)
      session.probe = undefined
    })
  }

  const open = (): Session => {
    const http2 = connect(origin, {
      settings: { enablePush: false },
      ...(options.ca !== undefined && { ca: options.ca }),
      ...(protocol === 'https:' && isIP(hostname.replace(/[[\]]/g, '')) === 0 && { servername: hostname }),
    })
    const session: Session = {
      http2,
      socket: undefined,
      streams: 0,
      maxStreams: FIRST_STREAMS,
      leaving: false,
      idleTimer: undefined,
      probe: undefined,
    }
    sessions.add(session)
    const slow = setTimeout(() => http2.destroy(new ConnectTimeout()), CONNECT_TIMEOUT_MS)
    http2
      .on('connect', (_, socket) => {
        clearTimeout(slow)
        session.socket = socket
      })
      .on('remoteSettings', ({ maxConcurrentStreams }) => {
        session.maxStreams = maxConcurrentStreams ?? FIRST_STREAMS
      })
      .on('goaway', () => leave(session))
      // Each request hears of it by itself.
      .on('error', () => {})
      .on('close', () => {
        clearTimeout(slow)
        clearTimeout(session.idleTimer)
        clearTimeout(session.probe)
        sessions.delete(session)
      })
    return session
  }

  const withRoom = (): Session | undefined => {
    for (const session of sessions) {
      const { http2, leaving, streams, maxStreams } = session
      if (!leaving && streams < maxStreams && !http2.closed && !http2.destroyed) return session
    }
    return sessions.size < options.maxConnections ? open() : undefined
  }

  const send = (session: Session, request: UpstreamRequest, answer: AnswerHandler) => {
    const cancel = new AbortController()
    const options = { endStream: request.body === null, signal: cancel.signal }
    const stream = session.http2.request(fieldsOf(request, scheme, host), options)
    clearTimeout(session.idleTimer)
    session.streams++
    const heard = session.socket?.bytesRead
    stream.once('close', () => {
      session.streams--
      if (session.socket?.bytesRead === heard) probe(session)
      if (session.streams === 0) rest(session)
    })
    // The connection may be a dead one; it is not for others to find out.
    new Http2Answer(stream, cancel, answer, () => leave(session)).begin(request)
  }

  return {
    carriesUpgrades: false,
    dispatch(request, answer) {
      const session = withRoom()
      if (!session) {
        answer.onResponseError(undefined, new TooManyConnections())
        return
      }
      try {
        send(session, request, answer)
      } catch (error) {
        clearTimeout(session.idleTimer)
        if (session.streams === 0) rest(session)
        answer.onResponseError(undefined, error as Error)
      }
    },
    get size() {
      return sessions.size
    },
    close() {
      closing = true
      for (const session of sessions) leave(session)
    },
    destroy() {
      closing = true
      for (const { http2 } of sessions) http2.destroy()
    },
  }
}

class ConnectTimeout extends Error {
  readonly code = 'UND_ERR_CONNECT_TIMEOUT'
}

/** @param authority what stands for the host when the client named none */
function fieldsOf({ method, path, headers }: UpstreamRequest, scheme: string, authority: string): string[] {
  const fields: string[] = []
  let host = authority
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] === 'Host') host = headers[i + 1]!
    else fields.push(headers[i]!, headers[i + 1]!)
  }
  const { HTTP2_HEADER_METHOD, HTTP2_HEADER_SCHEME, HTTP2_HEADER_AUTHORITY, HTTP2_HEADER_PATH } = constants
  const about = [HTTP2_HEADER_METHOD, method, HTTP2_HEADER_SCHEME, scheme, HTTP2_HEADER_AUTHORITY, host]
  return [...about, HTTP2_HEADER_PATH, path, ...fields]
}
