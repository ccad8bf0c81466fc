import { globSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { toJavaScript } from '../../bin/image/javascript.ts'
import { startNode } from '../helpers/process.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

test('types go, statements stay where they were, imports name what the image has', async (t) => {
  const typescript = `#!/usr/bin/env node
import type { A } from './a.ts'
import { b, type C } from '../b-c/b.ts'
import d from './d.json' with { type: 'json' }
const e: C = await import("./e.ts")
const kept = \`\${b('./no\\'t.ts')} and a sentence about ./f.ts of the \${'sources.ts'}\`
`
  const javascript = toJavaScript(typescript)
  t.equal(javascript.split('\n').length, typescript.split('\n').length)
  const lines = javascript.split('\n').map((line) => line.trimEnd())
  t.equal(lines[0], '#!/usr/local/bin/node')
  t.equal(lines[1], '')
  t.match(lines[2], /^import \{ b, {8}\} from '\.\.\/b-c\/b\.js'$/)
  t.match(lines[3], "'./d.json'")
  t.equal(lines[4], 'const e    = await import("./e.js")')
  t.match(lines[5], 'about ./f.ts of')
})

/** Prints at the end whether Node has loaded what it strips types with. */
const TELL_OF_STRIPPING = [
  '--import',
  `data:text/javascript,${encodeURIComponent(`
    process.on('exit', () => {
      const stripped = process.moduleLoadList.some((name) => name.includes('deps/amaro'))
      process.stdout.write('types stripped: ' + stripped + '\\n')
    })`)}`,
]

test('all that a role of the image loads is JavaScript: nothing is stripped at its start', async (t) => {
  const folder = temporaryFolder(t)
  for (const file of globSync('{bin,issuer,sidecar,shared}/**/*.ts', { cwd: ROOT, exclude: ['bin/image/**'] })) {
    const target = join(folder, file.replace(/ts$/, 'js'))
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, toJavaScript(readFileSync(join(ROOT, file), 'utf8')))
  }
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  symlinkSync(join(ROOT, 'package.json'), join(folder, 'package.json'))
  const start = (args: string[], env: Record<string, string> = {}) =>
    startNode(t, join(folder, 'bin/sallyport.js'), {
      args,
      env: { DATA_DIR: folder, ...env },
      nodeArgs: TELL_OF_STRIPPING,
    })

  const routes = join(folder, 'routes.yaml')
  writeFileSync(routes, 'routes: [{ path: /, access: public }]\n')
  // What a sidecar loads only when a setting asks for it: the feed from Kafka and the reader of routes files.
  const sidecar = start(['sidecar'], {
    UPSTREAM: 'http://127.0.0.1:1',
    ISSUER_URL: 'http://127.0.0.1:1',
    KAFKA_BROKERS: '127.0.0.1:1',
    ROUTES_FILE: routes,
    SIDECAR_PORT: '0',
    SIDECAR_ADMIN_PORT: '0',
    DRAIN_DELAY: '0s',
  })
  const [line] = await sidecar.waitForLine(/^\{.*"msg":"listening".*/, 90_000)
  const health = start(['health', `${JSON.parse(line).adminUrl}/livez`])
  t.equal((await health.waitForExit(90_000)).code, 0, health.stderr())
  t.match(health.stdout(), /^types stripped: false$/m, 'the check of its health')
  await sidecar.kill('SIGTERM', 60_000)
  t.match(sidecar.stdout(), /^types stripped: false$/m, 'the sidecar')

  const issuer = start(['issuer'], { ISSUER_PORT: '0', ISSUER_URL: 'http://127.0.0.1:1', DRAIN_DELAY: '0s' })
  await issuer.waitForLine(/^\{.*"msg":"listening".*/, 90_000)
  await issuer.kill('SIGTERM', 60_000)
  t.match(issuer.stdout(), /^types stripped: false$/m, 'the issuer')

  // Each file is one that Node can load, also those that neither of the two has asked for.
  const files = globSync('{bin,issuer,sidecar,shared}/**/*.js', { cwd: folder, exclude: ['bin/sallyport.js'] })
  const all = join(folder, 'all.js')
  writeFileSync(all, files.map((file) => `import './${file}'\n`).join(''))
  const loading = startNode(t, all, { nodeArgs: TELL_OF_STRIPPING })
  t.equal((await loading.waitForExit(90_000)).code, 0, loading.stderr())
  t.match(loading.stdout(), /^types stripped: false$/m, 'every file')
})
