import type { IncomingHttpHeaders } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Exchange } from './exchange.ts'
import type { EndReason } from './open-streams.ts'
import { responseHeaders } from './response-headers.ts'
import { closeFrame, FrameBoundary } from './websocket-frames.ts'

/**
 * The close codes of RFC 6455 section 7.4 and of IANA's registry (1013: try again later); 4000 and up are an
 * application's, 4401 in the likeness of 401.
 */
const CLOSE: Record<EndReason, [code: number, reason: string]> = {
  revoked: [4401, 'token revoked'],
  expired: [4401, 'token expired'],
  revocations_stale: [1013, 'revocations stale'],
  draining: [1001, 'going away'],
}

/** How long both ends have for the rest of a frame and their own Close: milliseconds. */
const CLOSE_DEADLINE_MS = 1000
const KEEP_ALIVE_PROBE_MS = 60_000

interface Probed extends Duplex {
  setKeepAlive?(enable: boolean, initialDelay: number): void
  setNoDelay?(enable: boolean): void
}

/**
 * Answers the client with the upstream's 101 and joins the two sockets. What passes is the bytes themselves, so
 * subprotocols, extensions and fragments are between the two ends, and a slow end slows down the other.
 */
export function joinTunnel(exchange: Exchange, upstream: Probed, headers: IncomingHttpHeaders): void {
  const { response } = exchange
  const client = response.socket as Probed
  response.detachSocket(response.socket!)
  client.write(switchingProtocols(headers), 'latin1')
  for (const socket of [client, upstream]) {
    // An end that is lost without a word is found out in the end.
    socket.setKeepAlive?.(true, KEEP_ALIVE_PROBE_MS)
    socket.setNoDelay?.(true)
    // What went wrong ends in 'close'.
    socket.on('error', () => socket.destroy())
  }
  const directions = [carry(client, upstream, true), carry(upstream, client, false)]
  const end = (reason: EndReason) => {
    const [code, text] = CLOSE[reason]
    for (const direction of directions) direction.close(code, text)
    setTimeout(() => {
      client.destroy()
      upstream.destroy()
    }, CLOSE_DEADLINE_MS).unref()
  }
  let open = 2
  const onClose = (other: Duplex) => {
    // An end in good order has been passed on by then; after any other there is nothing to wait for.
    if (!other.writableEnded) other.destroy()
    if (--open === 0) exchange.close()
  }
  client.once('close', () => onClose(upstream))
  upstream.once('close', () => onClose(client))
  exchange.becomeTunnel(end)
}

function switchingProtocols(headers: IncomingHttpHeaders): string {
  const fields = responseHeaders(headers)
  let head = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
  for (let i = 0; i < fields.length; i += 2) head += `${fields[i]}: ${fields[i + 1]}\r\n`
  return `${head}\r\n`
}

/** Carries bytes one way, until {@link close} puts a Close frame after the last whole frame. */
function carry(from: Duplex, to: Duplex, toServer: boolean) {
  const boundary = new FrameBoundary()
  let farewell: Buffer | undefined

  const sayFarewell = () => {
    from.off('data', onData)
    // What the sender still says is thrown away, so that its own Close and end are seen.
    from.resume()
    if (!to.writableEnded) to.end(farewell)
  }
  const onData = (chunk: Buffer) => {
    if (farewell) {
      to.write(chunk.subarray(0, boundary.readFrame(chunk)))
      if (boundary.reached) sayFarewell()
      return
    }
    boundary.read(chunk)
    if (!to.write(chunk)) from.pause()
  }
  from.on('data', onData)
  from.once('end', () => to.end())
  to.on('drain', () => from.resume())
  from.resume()

  return {
    close(code: number, reason: string) {
      if (farewell) return
      farewell = closeFrame(code, reason, toServer)
      if (boundary.reached) sayFarewell()
      else from.resume()
    },
  }
}
