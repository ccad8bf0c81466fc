import { randomInt } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { cacheFolder } from '../servers/cache.ts'

// Below the range from which the kernel takes the local ports of outgoing connections (32768 upwards on Linux, 49152
// elsewhere): a server that is killed and started again on its port would otherwise now and then find it taken.
const lowest = 12_000
const highest = 32_000

/**
 * A TCP port on 127.0.0.1 that nobody listened on a moment ago. It is this process's until it ends: no other test is
 * given it, not even while a server that had it is away. Programs that are no tests can still take it, so whoever can
 * should listen on port 0 instead; this is for those that must be told a port or must come back on the same one.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(lowest, highest)
    if (hold(port) && (await canListen(port))) return port
  }
  throw new Error(`no free port found between ${lowest} and ${highest}`)
}

const held = new Set<string>()

/** Notes in a file that the port is this process's. @returns false when it is that of another that lives, or was given */
function hold(port: number): boolean {
  const folder = join(cacheFolder(), 'ports')
  const file = join(folder, String(port))
  mkdirSync(folder, { recursive: true })
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    if (!isOfTheDead(file)) return false
    writeFileSync(file, String(process.pid))
  }
  if (held.size === 0) process.once('exit', release)
  held.add(file)
  return true
}

function isOfTheDead(file: string): boolean {
  try {
    process.kill(Number(readFileSync(file, 'utf8')), 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

function release(): void {
  for (const file of held) rmSync(file, { force: true })
}

/** Whether a server could listen on this port of 127.0.0.1 at this moment. */
export function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)))
  })
}
