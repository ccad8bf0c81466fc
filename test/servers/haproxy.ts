import { arch } from 'node:os'
import { join } from 'node:path'
import { distribution, unpackDebian, unpackedEnvironment } from './apt.ts'
import { cached } from './cache.ts'
import { run } from './command.ts'
import { fileOf, type ReverseProxy } from './reverse-proxy.ts'

/** HAProxy; its configuration is what follows the global section and the usual time-outs. */
export const haproxy: ReverseProxy = {
  kind: 'haproxy',
  name: 'HAProxy',
  variable: 'TEST_HAPROXY_PROGRAM',

  async fetch() {
    const program = (folder: string) => join(folder, 'usr/sbin/haproxy')
    const folder = await cached(
      `haproxy-${distribution()}-${arch()}`,
      'HAProxy (Debian package, 2 MB)',
      async (folder) => {
        await unpackDebian('haproxy', folder)
        await run(program(folder), ['-v'], { env: unpackedEnvironment(folder) })
      },
    )
    return { kind: 'program', file: program(folder), args: [], env: unpackedEnvironment(folder) }
  },

  command({ file, args, env }, place, configuration) {
    const timeouts = 'timeout connect 5s\n  timeout client 60s\n  timeout server 60s'
    const whole = `global\n  nbthread 1\ndefaults\n  mode http\n  ${timeouts}\n${configuration}\n`
    // One process, which signals reach.
    return { file, args: [...args, '-db', '-q', '-f', fileOf(place, 'haproxy.cfg', whole)], env }
  },
}
