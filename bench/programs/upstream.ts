import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

// The service that is measured directly and behind each proxy: answers as fast as Node can, and says where it listens.

const body = JSON.stringify({ id: 4711, name: 'Ada Lovelace', roles: ['user'], note: 'a small answer, as of an API' })
const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }

const server = createServer((request, response) => {
  request.resume()
  response.writeHead(200, headers)
  response.end(body)
})
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}\n`)
})
