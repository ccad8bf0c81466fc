import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { startNode } from '../helpers/process.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Prints at the end whether Node has loaded what it strips types with, which it does for the first file not cached. */
const TELL_OF_STRIPPING = [
  '--import',
  `data:text/javascript,${encodeURIComponent(`
    process.on('exit', () => {
      const stripped = process.moduleLoadList.some((name) => name.includes('deps/amaro'))
      process.stdout.write('types stripped: ' + stripped + '\\n')
    })`)}`,
]

/** What the Dockerfile runs to fill the cache: arguments of `node`. */
function warmingCommands(): string[][] {
  const dockerfile = readFileSync(join(ROOT, 'Dockerfile'), 'utf8')
  const line = /^RUN (node bin\/warm-compile-cache\.ts.*)$/m.exec(dockerfile)?.[1] ?? ''
  return line.split(' && ').map((command) => command.replace(/^node | > \S+$/g, '').split(' '))
}

test('a container strips no types, for its image has a cache with all it can load', async (t) => {
  const folder = temporaryFolder(t)
  const start = (file: string, args: string[], env: Record<string, string> = {}) =>
    startNode(t, join(ROOT, file), {
      args,
      env: { NODE_COMPILE_CACHE: join(folder, 'cache'), ...env },
      nodeArgs: TELL_OF_STRIPPING,
    })
  for (const [file = '', ...args] of warmingCommands()) {
    const warming = start(file, args)
    t.equal((await warming.waitForExit(60_000)).code, 0, `${file} ends well`)
    t.match(warming.stdout(), /^types stripped: true$/m, 'the first time it does')
  }

  const routes = join(folder, 'routes.yaml')
  writeFileSync(routes, 'routes: [{ path: /, access: public }]\n')
  // What a sidecar loads only when a setting asks for it: the feed from Kafka and the reader of routes files.
  const sidecar = start('bin/sallyport.ts', ['sidecar'], {
    DATA_DIR: folder,
    UPSTREAM: 'http://127.0.0.1:1',
    ISSUER_URL: 'http://127.0.0.1:1',
    KAFKA_BROKERS: '127.0.0.1:1',
    ROUTES_FILE: routes,
    SIDECAR_PORT: '0',
    SIDECAR_ADMIN_PORT: '0',
    DRAIN_DELAY: '0s',
  })
  const [line] = await sidecar.waitForLine(/^\{.*"msg":"listening".*/, 60_000)
  const health = start('bin/sallyport.ts', ['health', `${JSON.parse(line).adminUrl}/livez`])
  t.equal((await health.waitForExit(60_000)).code, 0, health.stderr())
  t.match(health.stdout(), /^types stripped: false$/m, 'the check of its health')
  await sidecar.kill('SIGTERM', 60_000)
  t.match(sidecar.stdout(), /^types stripped: false$/m, 'the sidecar')
})
