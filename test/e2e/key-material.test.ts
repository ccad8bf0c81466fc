import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { type Test, test } from 'tap'
import { call, login, refresh, register, statusThrough } from '../helpers/client.ts'
import { kidOf, runCommand } from '../helpers/command-line.ts'
import { type Running, ready, startDeployment, startRole } from '../helpers/deployment.ts'
import { startNode } from '../helpers/process.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const PROGRAM = fileURLToPath(new URL('../../bin/sallyport.ts', import.meta.url))
const PASSPHRASE = 'what opens the file'
const [OLD, NEW] = ['the old master key of these tests', 'the new master key of these tests']

type Env = Record<string, string>

const embedded = (t: Test, more: Env = {}): Env => ({
  DATA_DIR: temporaryFolder(t),
  ISSUER_URL: 'http://issuer.example',
  ISSUER_PORT: '0',
  SIDECAR_PORT: '0',
  SIDECAR_ADMIN_PORT: '0',
  FEED_TOKEN: 'a feed token that only the tests know',
  HASH_MEMORY_KIB: '7168',
  HASH_TIME: '5',
  ...more,
})

/** A sidecar before a service, with a folder of its own. */
async function startSidecar(t: Test, env: Env, issuer: Running): Promise<Running> {
  const { url: UPSTREAM } = await startRecordingUpstream(t)
  const own = { UPSTREAM, ISSUER_INTERNAL_URL: issuer.url, DATA_DIR: temporaryFolder(t) }
  const sidecar = await startRole(t, 'sidecar', { ...env, ...own })
  await ready(sidecar.adminUrl)
  return sidecar
}

const GENERATE: Record<string, () => { privateKey: KeyObject }> = {
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  EdDSA: () => generateKeyPairSync('ed25519'),
}

function keyFile(t: Test, { privateKey }: { privateKey: KeyObject }, cipher?: string, mode = 0o600): string {
  const file = join(temporaryFolder(t), 'signing-key.pem')
  const encryption = cipher ? { cipher, passphrase: PASSPHRASE } : {}
  writeFileSync(file, privateKey.export({ type: 'pkcs8', format: 'pem', ...encryption }), { mode })
  return file
}

test('every algorithm, generated and from a file, through a real sidecar and through jose', async (t) => {
  await Promise.all(
    Object.keys(GENERATE).flatMap((alg) =>
      [false, true].map(async (own) => {
        const env = embedded(t, own ? { SIGNING_KEY_FILE: keyFile(t, GENERATE[alg]!()) } : { SIGNING_ALGORITHM: alg })
        const issuer = await startRole(t, 'issuer', env)
        const sidecar = await startSidecar(t, env, issuer)
        const { access_token: token } = await login(issuer.url, await register(issuer.url))
        const name = `${alg} ${own ? 'from a file' : 'generated'}`
        t.equal(await statusThrough(sidecar.url, token), 200, name)
        const forged = `${token.slice(0, -6)}${token.endsWith('AAAAAA') ? 'BBBBBB' : 'AAAAAA'}`
        t.equal(await statusThrough(sidecar.url, forged), 401, name)
        const { protectedHeader } = await jwtVerify(
          token,
          // A dozen processes are starting: jose's own 5 s may be too short.
          createRemoteJWKSet(new URL(`${issuer.url}/.well-known/jwks.json`), { timeoutDuration: 60_000 }),
          { issuer: env.ISSUER_URL!, audience: 'sallyport', typ: 'at+jwt' },
        )
        t.equal(protectedHeader.alg, alg, name)
        await Promise.all([sidecar.stop(), issuer.stop()])
      }),
    ),
  )
})

test('several issuers with one encrypted file agree, and a new file takes over without a gap', {
  skip: missingProduction,
}, async (t) => {
  const upstream = await startRecordingUpstream(t)
  const { startIssuer, env } = await startDeployment(t, {
    ...(await productionServers()),
    upstream: upstream.url,
    issuers: 0,
    sidecars: 0,
    env: { SIGNING_KEY_FILE: keyFile(t, GENERATE.RS256!(), 'aes-256-cbc'), SIGNING_KEY_PASSPHRASE: PASSPHRASE },
  })
  const issuers = await Promise.all([startIssuer(), startIssuer(), startIssuer()])
  const credentials = await register(issuers[0]!.url)
  const kids = await Promise.all(issuers.map(async ({ url }) => kidOf((await login(url, credentials)).access_token)))
  t.equal(new Set(kids).size, 1, 'one key, whoever came first')
  const before = (await runCommand(t, env, 'keys', 'list')).lines
  t.match(before[0], { kid: kids[0], alg: 'RS256', state: 'current' })
  t.ok(issuers.every((issuer) => issuer.log().some(({ msg }) => msg === 'SIGNING_KEY signs')))
  t.notOk(issuers.some((issuer) => issuer.log().some(({ msg }) => /may read the file/.test(String(msg)))))

  const replaced = { SIGNING_KEY_FILE: keyFile(t, GENERATE.EdDSA!(), undefined, 0o644), SIGNING_KEY_PASSPHRASE: '' }
  await issuers[0]!.stop()
  const restarted = await startIssuer(replaced)
  t.ok(restarted.log().some(({ msg, mode }) => /others may read the file/.test(String(msg)) && mode === '644'))
  const { lines } = await runCommand(t, env, 'keys', 'list')
  const next = lines.find(({ state }) => state === 'next')
  t.match(next, { alg: 'EdDSA', published: true })
  t.ok(Date.parse(next.signs_from) - Date.now() > 500_000, 'it signs when everybody can know it')
  t.equal(kidOf((await login(restarted.url, credentials)).access_token), kids[0], 'until then the one before does')
  // One that still has the old file does not bring it back.
  await issuers[1]!.stop()
  await startIssuer()
  t.match(
    (await runCommand(t, env, 'keys', 'list')).lines.find(({ state }) => state === 'next'),
    { kid: next.kid },
  )
  t.match(await runCommand(t, env, 'keys', 'rotate', '--now'), { lines: [{ kid: next.kid }] })
  const again = await startIssuer()
  t.ok(again.log().some(({ msg }) => msg === 'SIGNING_KEY has been rotated away and does not sign any more'))
  t.equal(kidOf((await login(again.url, credentials)).access_token), next.kid)
})

test('a key file that cannot be used: one clear line, and nothing of the key', async (t) => {
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const rows: [name: string, env: Env, line: RegExp][] = [
    [
      'weak',
      { SIGNING_KEY_FILE: keyFile(t, weak) },
      /^sallyport: SIGNING_KEY: the given value is an RSA key of 1024 bits/,
    ],
    [
      'missing',
      { SIGNING_KEY_FILE: '/nowhere/key.pem' },
      /^sallyport: SIGNING_KEY_FILE: \/nowhere\/key.pem cannot be read \(ENOENT\)/,
    ],
    [
      'encrypted',
      { SIGNING_KEY_FILE: keyFile(t, GENERATE.EdDSA!(), 'aes-256-cbc') },
      /SIGNING_KEY: .*is encrypted, and the passphrase is not given/,
    ],
    ['a path as the value', { SIGNING_KEY: '/run/key.pem' }, /SIGNING_KEY: .*is not a private key in PEM/],
  ]
  for (const [name, env, line] of rows) {
    const child = startNode(t, PROGRAM, { args: ['issuer'], env: embedded(t, env) })
    t.equal((await child.waitForExit()).code, 1, name)
    t.match(child.stderr(), line, name)
    t.equal(child.stderr().trim().split('\n').length, 1, name)
    if (env.SIGNING_KEY_FILE && name !== 'missing') {
      t.notOk(child.stderr().includes(readFileSync(env.SIGNING_KEY_FILE, 'utf8').split('\n')[1]!.slice(0, 20)))
    }
  }
})

test('the master key is changed, and the old one alone opens nothing any more', async (t) => {
  const env = embedded(t, { MASTER_KEY: OLD })
  const first = await startRole(t, 'issuer', env)
  const session = await login(first.url, await register(first.url))
  const kid = kidOf(session.access_token)
  await first.stop()

  const second = await startRole(t, 'issuer', { ...env, MASTER_KEY: `${NEW},${OLD}` })
  const sidecar = await startSidecar(t, env, second)
  t.equal(await statusThrough(sidecar.url, session.access_token), 200, 'tokens hold')
  const next = await refresh(second.url, session.refresh_token)
  t.match(next, { status: 200 }, 'and sessions go on')
  t.equal(kidOf(next.body.access_token), kid)
  const began = Date.now()
  // Sealed anew by the first upkeep, which needs no command.
  for (;;) {
    const old = startNode(t, PROGRAM, { args: ['issuer'], env: { ...env, MASTER_KEY: OLD } })
    const ended = await Promise.race([
      old.waitForLine(/"msg":"listening"/, 90_000).then(() => undefined),
      old.exited.then(({ code }) => code),
    ]).catch(() => 1)
    if (ended !== undefined) {
      t.equal(ended, 1)
      t.match(old.stderr(), /MASTER_KEY does not open the signing keys/)
      break
    }
    await old.kill()
    if (Date.now() - began > 60_000) throw new Error('the old master key still opens the keys')
  }
  t.match(await runCommand(t, { ...env, MASTER_KEY: OLD }, 'keys', 'rotate'), { code: 1, stderr: /MASTER_KEY/ })
  await second.stop()

  const third = await startRole(t, 'issuer', { ...env, MASTER_KEY: NEW })
  const last = await refresh(third.url, next.body.refresh_token)
  t.match(last, { status: 200 })
  t.equal(kidOf(last.body.access_token), kid, 'the same key signs')
  t.equal((await call(`${third.url}/users/me`, { token: session.access_token })).status, 200)
})
