import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface DemoService {
  url: string
  close(): Promise<void>
}

/**
 * A service to try the sidecar with: answers every request with what it received, identity headers first.
 * @param port 0 takes a free one
 */
export async function startDemoService(host: string, port: number): Promise<DemoService> {
  const server = createServer((request, response) => {
    let bodyBytes = 0
    request.on('data', (chunk: Buffer) => {
      bodyBytes += chunk.length
    })
    request.on('end', () => {
      const headers = Object.entries(request.headers)
      const isIdentity = ([name]: [string, unknown]) => /^x-(user|session)-/.test(name)
      const body = {
        service: 'demo',
        request: { method: request.method, target: request.url, body_bytes: bodyBytes },
        identity: Object.fromEntries(headers.filter(isIdentity)),
        headers: Object.fromEntries(headers.filter((header) => !isIdentity(header))),
      }
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(`${JSON.stringify(body, null, 2)}\n`)
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  const address = server.address() as AddressInfo
  return {
    url: `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeIdleConnections()
      }),
  }
}
