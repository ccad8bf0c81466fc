import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { parse } from 'yaml'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')
const packageJson = JSON.parse(read('package.json'))
/** Its instructions, a line each. */
const instructions = read('Dockerfile')
  .replace(/^#.*\n/gm, '')
  .replace(/\\\n\s*/g, '')
  .split('\n')
  .filter(Boolean)

test('Dockerfile: the base is pinned to the Node that the tests run on', async (t) => {
  const base = instructions.find((line) => line.startsWith('ARG NODE_IMAGE='))
  t.match(base, new RegExp(`^ARG NODE_IMAGE=node:${packageJson.devDependencies.node}-[a-z]+-slim$`))
  t.match(
    instructions.filter((line) => line.startsWith('FROM ')),
    [/^FROM \$\{NODE_IMAGE\} AS dependencies$/, /^FROM dependencies AS layout$/, /^FROM scratch$/],
  )
})

test('Dockerfile: what ends up in the image is what the layout holds, run by no shell and not by root', async (t) => {
  const final = instructions.slice(instructions.indexOf('FROM scratch'))
  const named = (name: string) => final.filter((line) => line.startsWith(`${name} `))
  t.same(named('RUN'), [])
  t.same(named('COPY'), ['COPY --from=layout /layout/ /'])
  t.same(named('VOLUME'), [], 'a volume would be a place to write even where the file system is read-only')
  t.same(named('USER'), ['USER 1000:1000'])
  for (const line of [...named('ENTRYPOINT'), ...named('CMD'), ...named('HEALTHCHECK')]) {
    t.match(line, /\["[^\]]+"\]$/, `${line}: the exec form`)
  }
  t.match(named('LABEL').join(), `org.opencontainers.image.version="${packageJson.version}"`)
  t.match(named('LABEL').join(), `org.opencontainers.image.licenses="${packageJson.license}"`)
})

test('.dockerignore lets in what the Dockerfile copies, and nothing else', async (t) => {
  const allowed = [...read('.dockerignore').matchAll(/^!(.+)$/gm)].map((match) => match[1])
  const copied = instructions
    .filter((line) => line.startsWith('COPY ') && !line.includes('--from'))
    .flatMap((line) => line.split(/\s+/).slice(1, -1))
  t.same(allowed.toSorted(), copied.toSorted())
  t.match(read('.dockerignore'), /^\*\*$/m)
})

interface ComposeService {
  image: string
  healthcheck?: { test: string[] }
  read_only?: boolean
  cap_drop?: string[]
  security_opt?: string[]
  tmpfs?: string[]
}

test('docker-compose.yml: what is ours runs read-only, without capabilities, and its health needs no shell', async (t) => {
  const { services } = parse(read('docker-compose.yml'), { merge: true }) as {
    services: Record<string, ComposeService>
  }
  for (const [name, service] of Object.entries(services)) {
    t.match(service.security_opt, ['no-new-privileges:true'], `${name} gains no privileges`)
    if (!service.image.startsWith('sallyport:')) continue
    t.match(service, { read_only: true, cap_drop: ['ALL'] }, name)
    t.equal(service.tmpfs, undefined, `${name} has nowhere to write`)
    t.match(service.healthcheck?.test ?? ['CMD', 'sallyport'], ['CMD', 'sallyport'], `${name}: health by the program`)
  }
})
