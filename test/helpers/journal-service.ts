import { appendFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

/**
 * A service, as a process of its own, that writes the target of each request into a file before it does anything else,
 * so that it is known after a SIGKILL too. It answers after a few milliseconds with the length of the request's body,
 * and with as many bytes as `?bytes=` says; on SIGTERM it finishes what it has begun.
 * Arguments: the file, the port (0: a free one). Prints `listening on PORT`.
 */
const [file = '', port = '0'] = process.argv.slice(2)

const server = createServer(async (request, response) => {
  appendFileSync(file, `${request.url}\n`)
  let length = 0
  try {
    for await (const chunk of request) length += chunk.length
  } catch {
    return
  }
  await pause(Math.random() * 10)
  const bytes = Number(new URL(request.url!, 'http://a').searchParams.get('bytes') ?? 0)
  const body = `${length}\n${'x'.repeat(bytes)}`
  // Node goes on serving a connection that was in use when the server was closed.
  response.shouldKeepAlive = server.listening
  response.writeHead(200, { 'content-length': body.length })
  response.end(body)
})
server.listen(Number(port), '127.0.0.1', () => {
  process.stdout.write(`listening on ${(server.address() as AddressInfo).port}\n`)
})
process.once('SIGTERM', () => server.close(() => process.exit(0)))
