import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

// Below the range from which the kernel takes the local ports of outgoing connections (32768 upwards on Linux, 49152
// elsewhere): a server that is killed and started again on its port would otherwise now and then find it taken.
const lowest = 12_000
const highest = 32_000

/**
 * A TCP port on 127.0.0.1 that nobody listened on a moment ago. Another process can still take it first, so whoever
 * can should listen on port 0 instead; this is for programs that must be told a port or must come back on the same one.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(lowest, highest)
    if (await canListen(port)) return port
  }
  throw new Error(`no free port found between ${lowest} and ${highest}`)
}

/** Whether a server could listen on this port of 127.0.0.1 at this moment. */
export function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)))
  })
}
