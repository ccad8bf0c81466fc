import { arch } from 'node:os'
import { join } from 'node:path'
import { distribution, unpackDebian, unpackedEnvironment } from './apt.ts'
import { cached } from './cache.ts'
import { run } from './command.ts'
import { fileOf, type ReverseProxy } from './reverse-proxy.ts'

/** nginx; its configuration is what stands in a file of `conf.d`. */
export const nginx: ReverseProxy = {
  kind: 'nginx',
  name: 'nginx',
  variable: 'TEST_NGINX_PROGRAM',

  async fetch() {
    const program = (folder: string) => join(folder, 'usr/sbin/nginx')
    const folder = await cached(`nginx-${distribution()}-${arch()}`, 'nginx (Debian package, 1 MB)', async (folder) => {
      await unpackDebian('nginx', folder)
      await run(program(folder), ['-v'], { env: unpackedEnvironment(folder) })
    })
    return { kind: 'program', file: program(folder), args: [], env: unpackedEnvironment(folder) }
  },

  command({ file, args, env }, place, configuration) {
    const included = fileOf(place, 'site.conf', configuration)
    // One process, which signals reach, and nothing outside its place, where the package would have its folders.
    const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${kind};`)
    const main = `daemon off; master_process off; pid pid; error_log stderr warn;
      events {}
      http { access_log off; ${folders.join(' ')} include ${included}; }`
    const where = ['-p', place.data, '-e', 'stderr', '-c', fileOf(place, 'nginx.conf', main)]
    return { file, args: [...args, ...where], env }
  },
}
