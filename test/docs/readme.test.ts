import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { parse } from 'yaml'
import { KNOWN_SETTINGS } from '../../bin/known-settings.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const read = (file: string) => readFileSync(`${ROOT}${file}`, 'utf8')

test('the README names only commands and files that exist', async (t) => {
  const readme = read('README.md')
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  for (const [, name] of readme.matchAll(/npm run ([\w:-]+)/g)) t.ok(scripts[name!], `npm run ${name}`)
  const files = globSync('{bin,issuer,sidecar,shared}/**/*.ts', { cwd: ROOT })
  for (const [, path] of readme.matchAll(/`((?:[\w-]+\/)+[\w-]+\.ts)`/g)) {
    t.ok(
      files.some((file) => file === path || file.endsWith(`/${path}`)),
      `${path} exists`,
    )
  }
})

interface ComposeService {
  image: string
  environment?: Record<string, string>
  healthcheck?: object
  depends_on?: Record<string, { condition: string }>
}

test('docker-compose.yml: every setting exists, every service is awaited until it is healthy', async (t) => {
  const { services } = parse(read('docker-compose.yml'), { merge: true }) as {
    services: Record<string, ComposeService>
  }
  for (const [name, service] of Object.entries(services)) {
    const ours = service.image.startsWith('sallyport')
    for (const setting of ours ? Object.keys(service.environment ?? {}) : []) {
      t.ok(KNOWN_SETTINGS.includes(setting), `${name}: ${setting} is a setting`)
    }
    for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
      t.equal(condition, 'service_healthy', `${name} waits for ${other}`)
      const target = services[other]!
      // The image has a HEALTHCHECK of its own.
      t.ok(target.healthcheck || target.image.startsWith('sallyport'), `${other} has a health check`)
    }
  }
  t.match(services, { 'issuer-1': {}, 'issuer-2': {}, sidecar: {}, demo: {}, mongo: {}, redis: {}, kafka: {} })
})
