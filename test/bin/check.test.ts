import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Test, test } from 'tap'
import { startIssuer } from '../../issuer/main.ts'
import { toJwk } from '../../shared/jwks.ts'
import { createLog } from '../../shared/log.ts'
import { routesSchema } from '../../sidecar/domain/routes-schema.ts'
import { accessToken, ISSUER } from '../helpers/access-tokens.ts'
import { login, logout, register } from '../helpers/client.ts'
import { startNode } from '../helpers/process.ts'
import { signingKey } from '../helpers/revocations.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const PROGRAM = fileURLToPath(new URL('../../bin/sallyport.ts', import.meta.url))

type Env = Record<string, string>

/** Runs `sallyport check …`. @returns its exit code and what it printed */
async function check(t: Test, args: string[], env: Env = {}) {
  const child = startNode(t, PROGRAM, { args: ['check', ...args], env: { DATA_DIR: temporaryFolder(t), ...env } })
  const { code } = await child.waitForExit(90_000)
  return { code, stdout: child.stdout(), stderr: child.stderr() }
}

function fileOf(t: Test, name: string, content: string): string {
  const file = join(temporaryFolder(t), name)
  writeFileSync(file, content)
  return file
}

const ROUTES = `routes:
  - path: /health
    access: public
  - path: /catalog/**
    methods: [GET]
    access: optional
  - name: administration
    path: /admin/**
    roles: [admin]
    timeout: 5s
`

test('a right file: its rules in their order, exit code 0', async (t) => {
  const file = fileOf(t, 'routes.yaml', ROUTES)
  const { code, stdout, stderr } = await check(t, [file])
  t.equal(stderr, '')
  t.equal(code, 0)
  t.equal(
    stdout,
    `line  methods  path         access    asks for    served
2     all      /health      public
4     GET      /catalog/**  optional
7     all      /admin/**    required  role admin  timeout: 5s
-     all      all else     required

${file}: 3 routes, 0 warnings; without a token: /health, GET /catalog/**
`,
  )
  t.match(await check(t, [], { ROUTES_FILE: file }), { code: 0, stdout }, 'ROUTES_FILE is the default')
  const json = await check(t, [file, '--json'])
  t.match(JSON.parse(json.stdout), { ok: true, problems: [], warnings: [], routes: [{ line: 2, name: '/health' }] })
})

test('problems with their line and column, exit code 1', async (t) => {
  const content = 'routes:\n  - path: /a\n    acess: public\n  -\n    path: b\n    timeout: 3\n  - /c\nmore: 1\n'
  const file = fileOf(t, 'routes.yaml', content)
  const { code, stdout } = await check(t, [file])
  t.equal(code, 1)
  t.same(
    stdout
      .split('\n')
      .slice(0, -2)
      .map((line) => line.slice(0, line.lastIndexOf(': '))),
    [
      `${file}:3:5: error: routes[0].acess`,
      `${file}:5:5: error: routes[1].path`,
      `${file}:6:5: error: routes[1].timeout`,
      `${file}:7:5: error: routes[2]`,
      `${file}:8:1: error: more`,
    ],
  )
  t.match(stdout, /did you mean access\?\n/)
  t.match(stdout, /: 5 problems; a sidecar keeps the rules before\n$/)
  const json = await check(t, [file, '--json'])
  t.equal(json.code, 1)
  t.match(JSON.parse(json.stdout), { ok: false, problems: [{ line: 3, column: 5, place: 'routes[0].acess' }] })

  const explained = await check(t, [file, '--explain', 'GET', '/a'])
  t.match(explained, { code: 1, stdout: /3:5: error/ }, 'nothing is explained by wrong rules')
  const colourful = await check(t, [fileOf(t, 'routes.yaml', 'routes:\n  - path: "\\e[2J"\n')])
  t.match(colourful, { code: 1 })
  t.notMatch(colourful.stdout, '\x1b')
  t.match(await check(t, [fileOf(t, 'x.yaml', 'routes:\n  - path: [\n')]), { code: 1, stdout: /:\d+:\d+: error: / })
  t.match(await check(t, ['/nowhere/routes.yaml']), { code: 1, stdout: /:1:1: error: .*ENOENT/ })
  t.match(await check(t, []), { code: 1, stderr: /^sallyport: which file\?/ })
})

test('warnings do not fail', async (t) => {
  const file = fileOf(t, 'routes.yaml', 'routes:\n  - path: /a/\n  - path: /**\n    access: public\n')
  const { code, stdout } = await check(t, [file])
  t.equal(code, 0)
  t.match(stdout, /:2:5: warning: routes\[0\]\.path: the slash at the end/)
  t.match(stdout, /:4:5: warning: routes\[1\]\.access: lets everybody in/)
})

test('prints the schema', async (t) => {
  const { code, stdout } = await check(t, ['--schema'])
  t.equal(code, 0)
  t.strictSame(JSON.parse(stdout), routesSchema())
})

const key = signingKey('ES256', 'key-1')
const nowS = () => Math.floor(Date.now() / 1000)
const tokenOf = (claims: object = {}) => accessToken(key, { iat: nowS(), exp: nowS() + 600, ...claims })

test('explains a request without a token', async (t) => {
  const file = fileOf(t, 'routes.yaml', ROUTES)
  const refused = await check(t, [file, '--explain', 'GET', 'https://api.example/admin/users?x=1'])
  t.equal(refused.code, 2)
  t.equal(
    refused.stdout,
    `GET /admin/users?x=1

ok  target    GET /admin/users
ok  route     administration (any method /admin/**), access: required, timeout: 5s
NO  bearer    no token; the route needs a valid one
-   verify    not reached
-   revoked?  not reached
-   fresh?    not reached
-   policy    not reached

Rules before it that do not match:
  line 2  /health          path: not /health
  line 4  GET /catalog/**  path: not /catalog/**

Refused: 401 token_missing (token_missing)
`,
  )
  t.match(await check(t, [file, '--explain', 'GET', '/health']), { code: 0, stdout: /\nLet in\n$/ })
  t.match(await check(t, [file, '--explain', 'POST', '/catalog/a']), {
    code: 2,
    stdout: /line 4 {2}GET \/catalog\/\*\* {2}method: not GET\n/,
  })
  t.match(await check(t, [file, '--explain', 'GET', 'http://a/health/../admin']), {
    code: 2,
    stdout: /^GET \/health\/\.\.\/admin\n\nNO {2}target .*\nRefused: 400 invalid_target \(path_segments\)\n$/s,
  })
  t.match(await check(t, [file, '--explain', 'TRACE', '/health']), { code: 2, stdout: /Refused: 405 / })
  const json = await check(t, [file, '--json', '--explain', 'GET', '/x'])
  t.match(JSON.parse(json.stdout), { verdict: 'refused', status: 401, code: 'token_missing', route: 'default' })
  for (const args of [['GET'], ['GET', '/a', file]]) {
    t.match(await check(t, [file, '--explain', ...args]), { code: 1, stderr: /^sallyport: --explain: a method and/ })
  }
})

test('explains a token: with a key set, without one, and never prints it', async (t) => {
  const file = fileOf(t, 'routes.yaml', ROUTES)
  const jwks = fileOf(t, 'jwks.json', JSON.stringify({ keys: [toJwk(key)] }))
  const [admin, user] = [tokenOf({ roles: ['admin'] }), tokenOf()]
  const outputs: string[] = []
  const explain = async (token: string, more: string[] = [], env: Env = {}) => {
    const args = [file, '--explain', 'GET', '/admin/users', ...more]
    const result = await check(t, args, { SALLYPORT_TOKEN: token, AUDIENCE: 'sallyport', ...env })
    outputs.push(result.stdout, result.stderr)
    return result
  }
  const keys = ['--jwks', jwks]
  const env = { ISSUER_URL: ISSUER }
  const good = await explain(admin, keys, env)
  t.match(good, { code: 0, stdout: /ok {2}verify {4}signed by key key-1; .*\n\?\? {2}revoked\?/ })
  t.match(good.stdout, /\nLet in, unless it was revoked\n$/)
  t.match(await explain(user, keys, env), { code: 2, stdout: /\nRefused: 403 forbidden \(role_missing\)\n$/ })
  const forged = accessToken({ ...signingKey('ES256', 'key-1') }, { iat: nowS(), exp: nowS() + 600, roles: ['admin'] })
  t.match(await explain(forged, keys, env), { code: 2, stdout: /401 token_invalid \(signature_invalid\)/ })
  t.match(await explain(admin, keys), { code: 2, stdout: /its iss is not ISSUER_URL.*401 token_invalid/s })
  t.match(await explain(admin, keys, { ...env, AUDIENCE: 'another' }), { code: 2, stdout: /\(audience_mismatch\)/ })
  t.match(await explain('garbage.garbage', keys, env), { code: 2, stdout: /\(token_malformed\)/ })

  // ISSUER_URL names an issuer that is not there.
  const away = { ISSUER_URL: ISSUER, ISSUER_INTERNAL_URL: 'http://127.0.0.1:1' }
  for (const [token, where] of [
    [admin, away],
    [forged, away],
    [tokenOf({ roles: ['admin'], iss: 'http://127.0.0.1:4000' }), {}],
  ] as const) {
    const { code, stdout } = await explain(token, [], where)
    t.equal(code, 3)
    t.match(stdout, /\?\? {2}verify {4}signature not checked/)
    t.match(stdout, /\nNote: no keys: .*\nUndecided: /)
    t.notMatch(stdout, /let in|allowed/i)
  }
  t.match(await explain(user, [], away), { code: 2, stdout: /the signature was not checked: 401 if it is wrong/ })
  const parts = [admin, user, forged].flatMap((token) => token.split('.'))
  t.notOk(
    parts.some((part) => outputs.join('').includes(part)),
    'no part of a token is printed',
  )

  const noKeys = fileOf(t, 'none.json', '{"keys":[]}')
  t.match(await explain(admin, ['--jwks', noKeys], env), { code: 1, stderr: /^sallyport: --jwks: .* no key/ })
  t.match(await explain(admin, ['--jwks', '/nowhere'], env), { code: 1, stderr: /--jwks: .*ENOENT/ })
  t.match(await explain(admin, ['--issuer', 'nonsense']), {
    code: 1,
    stderr: /^sallyport: ISSUER_URL: "nonsense" is not/,
  })
})

test('the token from standard input', async (t) => {
  const file = fileOf(t, 'routes.yaml', ROUTES)
  const jwks = fileOf(t, 'jwks.json', JSON.stringify({ keys: [toJwk(key)] }))
  const args = [PROGRAM, 'check', file, '--explain', 'GET', '/admin/a', '--token', '-', '--jwks', jwks]
  const env = [`PATH=${process.env.PATH}`, `DATA_DIR=${temporaryFolder(t)}`, `ISSUER_URL=${ISSUER}`]
  const run = (input: string) =>
    spawnSync('env', ['-i', ...env, process.execPath, ...args], { input, encoding: 'utf8' })
  t.match(run(`${tokenOf({ roles: ['admin'] })}\n`), { status: 0, stdout: /Let in/ })
  t.match(run(''), { status: 2, stdout: /authorization_malformed/ }, 'an empty one is not none')
  t.match(run('x'.repeat(70_000)), { status: 1, stderr: /too long to be a token/ })
})

test('with the issuer: its keys, and whether the token was revoked', async (t) => {
  const FEED_TOKEN = 'a feed token that only the tests know'
  const env = { FEED_TOKEN, HASH_MEMORY_KIB: '7168', HASH_TIME: '5', DATA_DIR: join(temporaryFolder(t), 'data') }
  const issuer = await startIssuer({ ...env, ISSUER_PORT: '0' }, { log: createLog('issuer', 'silent') })
  t.teardown(() => issuer.close())
  const credentials = await register(issuer.url)
  const { access_token: token } = await login(issuer.url, credentials)
  const args = [fileOf(t, 'routes.yaml', ROUTES), '--explain', 'GET', '/other']
  const settings = { ISSUER_URL: issuer.url, SALLYPORT_TOKEN: token }

  const byOption = await check(t, [...args, '--issuer', issuer.url], { SALLYPORT_TOKEN: token, FEED_TOKEN })
  t.match(
    byOption,
    { code: 0, stdout: /\?\? {2}revoked\? .*\nLet in, unless it was revoked\n$/s },
    'no credential for it',
  )
  const known = await check(t, args, { ...settings, FEED_TOKEN })
  t.match(known, { code: 0, stdout: /ok {2}revoked\? {2}no\nok {2}fresh\? .* ms ago\n.*\nLet in\n$/s })
  t.match(await check(t, args, { ...settings, FEED_TOKEN: 'another feed token' }), {
    code: 0,
    stdout: /\nNote: no revocations: .*\/revocations: the issuer answered 401 .*\nLet in, unless it was revoked\n$/,
  })
  await logout(issuer.url, token)
  const revoked = await check(t, args, { ...settings, FEED_TOKEN })
  t.match(revoked, { code: 2, stdout: /NO {2}revoked\? .*\nRefused: 401 token_invalid \(token_revoked\)\n$/s })
  t.match(await check(t, args, settings), { code: 0, stdout: /unless it was revoked/ })
})

test('what a file has in it commands no terminal, and what is printed as JSON is JSON', async (t) => {
  const name = 'a\u202eb\u009b31m\u{e0001}'
  const file = fileOf(t, 'routes.yaml', `routes: [{ path: /x, ${JSON.stringify(name)}: 1 }]\n`)
  const asJson = await check(t, ['--json', file])
  t.notMatch(asJson.stdout, /(?!\n)\p{C}/u)
  t.equal(JSON.parse(asJson.stdout).problems[0].place, `routes[0].${name}`)
})
