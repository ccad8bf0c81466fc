import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { endWithProblem, sendProblem } from './problems.ts'

/**
 * Refuses with a problem document what Node would answer by itself without a body, or let pass: no or several `Host`
 * fields (RFC 9112 section 3.2), an expectation nobody knows (RFC 9110 section 10.1.1), CONNECT.
 */
export function addMessageChecks(app: FastifyInstance): void {
  app.addHook('onRequest', (request, reply, done) => {
    const errors = faults(request)
    if (errors.length === 0) return done()
    void sendProblem(reply, 'invalid_request', { errors })
  })
  const { server } = app
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => app.routing(request, response))
  server.on('connect', (_request: IncomingMessage, socket: Socket) => {
    // Node has let go of this socket: an error that nobody listens to would end the process.
    socket.on('error', () => socket.destroy())
    endWithProblem(socket, 'method_not_allowed')
  })
}

function faults({ raw: { rawHeaders, httpVersion }, headers }: FastifyRequest): string[] {
  const errors: string[] = []
  let hosts = 0
  for (let at = 0; at < rawHeaders.length; at += 2) if (isHost(rawHeaders[at]!)) hosts++
  if (hosts > 1 || (hosts === 0 && httpVersion !== '1.0')) errors.push('header/host: exactly one is needed')
  if (headers.expect !== undefined && !/^100-continue$/i.test(headers.expect)) {
    errors.push('header/expect: not known here')
  }
  return errors
}

function isHost(name: string): boolean {
  return name.length === 4 && name.toLowerCase() === 'host'
}
