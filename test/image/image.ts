import { fileURLToPath } from 'node:url'
import tap, { test } from 'tap'
import type { Component, Sbom } from '../../bin/image/sbom.ts'
import { call, login, logout, register, statusThrough } from '../helpers/client.ts'
import { eventually } from '../helpers/eventually.ts'
import { uniqueName } from '../helpers/unique-name.ts'
import { findEngine, listFiles, readFileOf, runOnce, startContainer } from './engine.ts'

// npm run test:image: builds the image with Docker or Podman and runs it as the charts do. IMAGE names one that is there
// already; BUILD_OPTIONS are more options of `build`, separated by spaces.

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const FEED_TOKEN = '5f'.repeat(32)

tap.setTimeout(900_000)
const engine = await findEngine().catch((error) => {
  process.stderr.write(`not run: ${error.message}\n`)
  process.exit(1)
})
const image = process.env.IMAGE || (await buildImage())

async function buildImage(): Promise<string> {
  const tag = 'sallyport:test'
  process.stdout.write(`# building ${tag} with ${engine.name}\n`)
  const options = (process.env.BUILD_OPTIONS ?? '').split(' ').filter(Boolean)
  // The format of Docker is the one that has health checks.
  const format = engine.name === 'podman' ? ['--format', 'docker'] : []
  await engine.call('build', ...format, ...options, '--tag', tag, ROOT)
  return tag
}

test('it holds Node and the application: nothing else can be executed, nothing is set-uid', async (t) => {
  const files = await listFiles(engine, image)
  const paths = files.map(({ path }) => path)
  for (const path of ['usr/local/bin/node', 'app/bin/sallyport.js', 'app/sbom.cdx.json', 'app/LICENSE']) {
    t.ok(paths.includes(path), path)
  }
  const programs = files.filter(({ mode, path }) => /^-.*x/.test(mode) && !path.startsWith('app/node_modules/'))
  t.same(
    programs.map(({ path }) => path).filter((path) => !/\.so[.\d]*$/.test(path)),
    ['app/bin/sallyport.js', 'usr/local/bin/node'],
  )
  t.same(
    files.filter(({ mode }) => /^-.{2}s|^-.{5}s/.test(mode)),
    [],
    'set-uid and set-gid',
  )
  t.same(
    files.filter(({ mode, path }) => /^[-d].{7}w/.test(mode) && path !== 'tmp').map(({ path }) => path),
    [],
    'writable by everybody',
  )
  t.same(
    files.filter(({ owner }) => owner !== '0/0').map(({ path, mode, owner }) => `${mode} ${owner} ${path}`),
    ['drwxrwx--- 1000/0 data'],
    'what does not belong to root',
  )
  const dates = files.filter(({ path }) => /^(app|usr)\/./.test(path)).map(({ changed }) => changed)
  t.equal(new Set(dates).size, 1, 'all have one date: what is built tomorrow is the same')
  t.notOk(
    paths.some((path) => /^app\/.*\.([cm]?ts|map)$/.test(path)),
    'no types, no source maps',
  )
  for (const program of ['/bin/sh', 'sh', 'bash', 'npm', 'apt', 'dpkg', 'env', 'ls']) {
    await t.rejects(engine.call('run', '--rm', '--entrypoint', program, image), `no ${program}`)
  }
})

test('its SBOM names every package of npm, Node and each system library in it', async (t) => {
  const sbom: Sbom = JSON.parse(await readFileOf(engine, image, '/app/sbom.cdx.json'))
  const labels = JSON.parse(
    await engine.call('inspect', '--type', 'image', '--format', '{{json .Config.Labels}}', image),
  )
  t.match(labels, { 'sallyport.sbom': '/app/sbom.cdx.json', 'org.opencontainers.image.licenses': 'Apache-2.0' })
  const files = (await listFiles(engine, image)).map(({ path }) => path)
  const find = (name: string, among: Component[] = sbom.components) => among.find((each) => each.name === name)

  const versions = JSON.parse(
    await runOnce(engine, image, ['-p', 'JSON.stringify(process.versions)'], ['--entrypoint=node']),
  )
  t.equal(find('node')?.version, versions.node)
  t.equal(find('openssl', find('node')?.components)?.version, versions.openssl.replace(/\+.*/, ''))

  const packages = files.flatMap((path) => /^var\/lib\/dpkg\/status\.d\/(.+)$/.exec(path)?.[1] ?? [])
  t.ok(packages.includes('libc6') && packages.includes('libstdc++6'), packages.join(' '))
  for (const name of packages) {
    t.ok(find(name)?.purl.startsWith('pkg:deb/debian/') && find(name)?.licenses, `${name} and its licence`)
    t.ok(files.includes(`usr/share/doc/${name}/copyright`), `${name}: the text of its licence`)
  }
  const inImage = new Set(
    files.flatMap(
      (path) => /^app\/(?:.+\/)?node_modules\/((?:@[^/]+\/)?[^/@.][^/]*)\/package\.json$/.exec(path)?.[1] ?? [],
    ),
  )
  const named = new Set(sbom.components.filter(({ purl }) => purl.startsWith('pkg:npm/')).map(({ name }) => name))
  t.same([...inImage].sort(), [...named].sort(), `${named.size} packages of npm`)
})

test('issuer, service and sidecar in one network, read-only: log in, be served, log out, be refused', async (t) => {
  const volume = uniqueName('sallyport-image')
  t.teardown(async () => void (await engine.call('volume', 'rm', volume).catch(() => {})))
  const issuer = await startContainer(t, engine, {
    image,
    options: ['--volume', `${volume}:/data`, '--publish', '127.0.0.1::4000', '--publish', '127.0.0.1::8080'],
    env: { ISSUER_URL: 'http://127.0.0.1:4000', FEED_TOKEN },
  })
  // The same network, as the containers of one Pod have it: the service is on loopback.
  const together = ['--network', `container:${issuer.name}`]
  const demo = await startContainer(t, engine, {
    image,
    args: ['demo'],
    options: [...together, '--health-cmd', '["sallyport","health","http://127.0.0.1:3000/"]'],
  })
  const sidecar = await startContainer(t, engine, {
    image,
    args: ['sidecar'],
    options: together,
    env: { ISSUER_URL: 'http://127.0.0.1:4000', UPSTREAM: 'http://127.0.0.1:3000', FEED_TOKEN },
  })
  await Promise.all([issuer.untilHealthy(), sidecar.untilHealthy()])
  t.equal(await engine.call('exec', demo.name, 'sallyport', 'health', 'http://127.0.0.1:3000/').then(() => 'ok'), 'ok')

  const published = async (port: number) =>
    `http://${(await engine.call('port', issuer.name, String(port))).split('\n')[0]}`
  const [issuerUrl, sidecarUrl] = [await published(4000), await published(8080)]
  const credentials = await register(issuerUrl)
  const { access_token: token } = await login(issuerUrl, credentials)
  t.equal((await call(sidecarUrl)).status, 401, 'without a token')
  const served = await call<{ headers: Record<string, string> }>(sidecarUrl, { token })
  t.equal(served.status, 200)
  t.match(JSON.stringify(served.body), credentials.email, 'the service sees who asks')
  t.match(await logout(issuerUrl, token), { status: 200, body: { propagated: true } })
  await eventually(async () => (await statusThrough(sidecarUrl, token)) === 401, {
    message: 'refused after the logout',
  })

  for (const container of [issuer, sidecar, demo]) {
    const status = await container.evaluate('fs.readFileSync("/proc/1/status", "utf8")')
    t.match(status, /^CapEff:\s0+$/m, 'no capabilities')
    t.match(status, /^NoNewPrivs:\s1$/m)
    t.match(status, /^Uid:\s1000\s/m)
  }
  const writing = (path: string) => `try { fs.writeFileSync("${path}", ""); "written" } catch (error) { error.code }`
  for (const path of ['/app/a', '/tmp/a', '/etc/a', '/a']) {
    t.equal(await issuer.evaluate(writing(path)), 'EROFS', `issuer ${path}`)
    t.equal(await sidecar.evaluate(writing(path)), 'EROFS', `sidecar ${path}`)
  }
  t.equal(await issuer.evaluate(writing('/data/a')), 'written')
  t.equal(await sidecar.evaluate(writing('/data/a')), 'EROFS', 'the sidecar can write nowhere')

  for (const container of [sidecar, demo, issuer]) t.equal(await container.stop(), 0, 'ends in order on SIGTERM')
  t.match(await sidecar.logs(), /"msg":"draining"/)
})

test('it runs as any user, as platforms do that choose the uid, with group 0', async (t) => {
  const issuer = await startContainer(t, engine, {
    image,
    options: ['--user', '1000650000:0', '--volume', '/data'],
    env: { ISSUER_URL: 'http://127.0.0.1:4000', FEED_TOKEN },
  })
  const sidecar = await startContainer(t, engine, {
    image,
    args: ['sidecar'],
    options: ['--user', '1000650000:0', '--network', `container:${issuer.name}`],
    env: { ISSUER_URL: 'http://127.0.0.1:4000', UPSTREAM: 'http://127.0.0.1:1', FEED_TOKEN },
  })
  await Promise.all([issuer.untilHealthy(), sidecar.untilHealthy()])
  t.match(await sidecar.evaluate('fs.readFileSync("/proc/1/status", "utf8")'), /^Uid:\s1000650000\s/m)
})

test('it has what Node needs of a system: names, time zones, authorities, both password hashes', async (t) => {
  const script = `
    const { lookup } = require('node:dns/promises')
    const { hash, verify } = require('@node-rs/argon2')
    const bcrypt = require('@node-rs/bcrypt')
    Promise.all([lookup('localhost'), lookup('some.host'), hash('a'), bcrypt.hash('a', 4)]).then(async ([a, b, c, d]) =>
      console.log(JSON.stringify({
        localhost: a.address, host: b.address, argon2: await verify(c, 'a'), bcrypt: await bcrypt.verify('a', d),
        time: new Date(0).toString(), user: os.userInfo().username, authorities: tls.rootCertificates.length > 100,
      })))`
  const options = ['--entrypoint=node', '--env', 'TZ=Europe/Berlin', '--add-host', 'some.host:192.0.2.7']
  t.match(JSON.parse(await runOnce(engine, image, ['-e', script], options)), {
    localhost: /^(127\.0\.0\.1|::1)$/,
    host: '192.0.2.7',
    argon2: true,
    bcrypt: true,
    time: /01:00:00 GMT\+0100/,
    user: 'sallyport',
    authorities: true,
  })
})

test('commands: sallyport is the entry point, an unhealthy instance is exit code 1', async (t) => {
  const { version } = (await import('../../package.json', { with: { type: 'json' } })).default
  t.equal(await runOnce(engine, image, ['--version']), version)
  t.match(await runOnce(engine, image, ['settings']), /MAX_STALENESS/)
  await t.rejects(runOnce(engine, image, ['health']), /does not answer/)
})
