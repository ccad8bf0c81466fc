import type { AddressInfo } from 'node:net'
import { createLongLivedService } from '../../test/helpers/long-lived.ts'

// The service behind the sidecar in the soak: `/bytes/N` answers with N bytes, anything else with the length of the
// request's body; WebSockets and `/events` stay open. `PORT` is where it listens; 0 or nothing takes a free port.

const { server } = createLongLivedService((request, response) => {
  let received = 0
  request.on('data', (chunk) => {
    received += chunk.length
  })
  request.on('end', () => {
    const [, bytes] = /^\/bytes\/(\d+)$/.exec(request.url!) ?? []
    const body = bytes === undefined ? Buffer.from(String(received)) : Buffer.alloc(Number(bytes), 'x')
    response.writeHead(200, { 'content-length': body.length }).end(body)
  })
})
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  process.stdout.write(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}\n`)
})
