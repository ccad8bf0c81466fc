import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/** The connections of a server from now on, as long as they are open; with TLS, those whose handshake is done. */
export function openConnections(server: Server): ReadonlySet<Socket> {
  const open = new Set<Socket>()
  const isTls = 'setSecureContext' in server
  server.on(isTls ? 'secureConnection' : 'connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  return open
}
