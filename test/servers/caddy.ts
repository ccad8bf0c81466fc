import { arch } from 'node:os'
import { join } from 'node:path'
import { distribution, unpackDebian } from './apt.ts'
import { cached } from './cache.ts'
import { run } from './command.ts'
import { fileOf, type ReverseProxy } from './reverse-proxy.ts'

/** Caddy; its configuration is the sites of a Caddyfile. */
export const caddy: ReverseProxy = {
  kind: 'caddy',
  name: 'Caddy',
  variable: 'TEST_CADDY_PROGRAM',

  async fetch() {
    const program = (folder: string) => join(folder, 'usr/bin/caddy')
    const folder = await cached(
      `caddy-${distribution()}-${arch()}`,
      'Caddy (Debian package, 10 MB)',
      async (folder) => {
        await unpackDebian('caddy', folder)
        await run(program(folder), ['version'])
      },
    )
    return { kind: 'program', file: program(folder), args: [] }
  },

  command({ file, args }, place, configuration) {
    const whole = `{\n\tadmin off\n\tauto_https off\n}\n${configuration}`
    const config = fileOf(place, 'Caddyfile', whole)
    // It keeps what it knows of certificates under these.
    const env = { HOME: place.data, XDG_DATA_HOME: place.data, XDG_CONFIG_HOME: place.data }
    return { file, args: [...args, 'run', '--adapter', 'caddyfile', '--config', config], env }
  },
}
