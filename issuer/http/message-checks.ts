import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { endWithProblem, sendProblem } from './problems.ts'

/**
 * Refuses with a problem document what Node would answer by itself without a body, or let pass: no or several `Host`
 * fields (RFC 9112 section 3.2), an expectation nobody knows (RFC 9110 section 10.1.1), CONNECT.
 */
export function addMessageChecks(app: FastifyInstance): void {
  app.addHook('onRequest', async (request, reply) => {
    const errors = faults(request)
    if (errors.length > 0) return sendProblem(reply, 'invalid_request', { errors })
  })
  const { server } = app
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => app.routing(request, response))
  server.on('connect', (_request: IncomingMessage, socket: Socket) => {
    // Node has let go of this socket: an error that nobody listens to would end the process.
    socket.on('error', () => socket.destroy())
    endWithProblem(socket, 'method_not_allowed')
  })
}

function faults({ raw, headers }: FastifyRequest): string[] {
  const names = raw.rawHeaders.filter((_text, index) => index % 2 === 0)
  const hosts = names.filter((name) => name.toLowerCase() === 'host').length
  return [
    ...(hosts > 1 || (hosts === 0 && raw.httpVersion !== '1.0') ? ['header/host: exactly one is needed'] : []),
    ...(headers.expect !== undefined && !/^100-continue$/i.test(headers.expect)
      ? ['header/expect: not known here']
      : []),
  ]
}
