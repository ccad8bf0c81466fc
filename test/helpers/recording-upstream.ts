import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

export interface RecordedRequest {
  method: string
  target: string
  headers: IncomingHttpHeaders
}

export interface RecordingUpstream {
  url: string
  requests: RecordedRequest[]
}

/** A real HTTP service that answers 200 with the request's headers as JSON and remembers what it received. */
export async function startRecordingUpstream(t: Test): Promise<RecordingUpstream> {
  const requests: RecordedRequest[] = []
  const server = createServer((request, response) => {
    requests.push({ method: request.method ?? '', target: request.url ?? '', headers: request.headers })
    request.resume()
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ headers: request.headers }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests }
}
