import { once } from 'node:events'
import { globSync, readFileSync } from 'node:fs'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { HashingOverloaded } from '../../../issuer/domain/ports.ts'
import { answerUnreadable } from '../../../issuer/http/problems.ts'
import { PROBLEMS, type ProblemCode } from '../../../shared/problem.ts'
import { eventually } from '../../helpers/eventually.ts'
import { buildIssuer, PASSWORD } from '../build.ts'
import { recordRoutes } from '../recorded-routes.ts'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))

test('every error is a problem document', async (t) => {
  const issuer = await buildIssuer(t)
  type Call = Parameters<typeof issuer.call>
  const rows: [name: string, call: Call, status: number, code: string, more?: object][] = [
    ['unknown path', ['GET', '/nowhere'], 404, 'not_found'],
    ['unknown path with a body', ['POST', '/nowhere', { json: '{' }], 404, 'not_found'],
    ['a final slash', ['GET', '/users/me/'], 404, 'not_found'],
    ['another method', ['GET', '/auth/login'], 405, 'method_not_allowed', { allow: 'POST' }],
    ['another method, path parameter', ['POST', '/auth/sessions/x'], 405, 'method_not_allowed', { allow: 'DELETE' }],
    ['a percent sign', ['GET', '/nowhere%'], 400, 'invalid_target'],
    ['invalid percent-encoding', ['DELETE', '/auth/sessions/%ff'], 400, 'invalid_target'],
    ['a segment too long', ['DELETE', `/auth/sessions/${'x'.repeat(200)}`], 404, 'not_found'],
    ['broken JSON', ['POST', '/auth/login', { json: '{"email":' }], 400, 'invalid_request'],
    ['a form', ['POST', '/auth/login', form()], 415, 'unsupported_media_type'],
    [
      'text',
      ['POST', '/auth/login', { json: 'x', headers: { 'content-type': 'text/plain' } }],
      415,
      'unsupported_media_type',
    ],
    ['17 KiB', ['POST', '/auth/login', { json: { password: 'x'.repeat(17 * 1024) } }], 413, 'payload_too_large'],
    ['an unknown query', ['GET', '/public_key?kid[$ne]=x'], 400, 'invalid_request'],
    ['no such key', ['GET', '/public_key?kid=x'], 404, 'not_found'],
    ['no feed token', ['GET', '/revocations'], 404, 'not_found'],
  ]
  for (const [name, call, status, code, headers = {}] of rows) {
    const answer = await issuer.call(...call)
    t.match({ status: answer.status, headers: answer.headers }, { status, headers }, name)
    t.match(answer.headers['content-type'], /^application\/problem\+json/, name)
    t.match(answer.body, { type: 'about:blank', title: String, status, code }, name)
    t.notMatch(JSON.stringify(answer.body), /stack|node_modules|FST_|\.ts/)
  }
})

test('what is wrong with a body or a query is said in words', async (t) => {
  const issuer = await buildIssuer(t)
  type Call = Parameters<typeof issuer.call>
  const text = { json: 'x', headers: { 'content-type': 'text/plain' } }
  const registration = { email: 'a@example.com', password: PASSWORD, login: true }
  const user = await issuer.register()
  await issuer.parts.users.update(user.id, { roles: ['superuser'] })
  const { access_token: token } = await issuer.login(user)
  const rows: [name: string, call: Call, errors: string[]][] = [
    ['broken JSON', ['POST', '/auth/login', { json: '{"email":' }], ['body: no valid JSON, or a field in it twice']],
    [
      'a field twice',
      ['POST', '/auth/login', { json: '{"a":1,"a":2}' }],
      ['body: no valid JSON, or a field in it twice'],
    ],
    ['another type', ['POST', '/auth/login', text], ['body: application/json is needed']],
    [
      'no type',
      ['POST', '/auth/login', { json: '{}', headers: { 'content-type': '' } }],
      ['body: application/json is needed'],
    ],
    [
      'none of the values there are',
      ['POST', '/auth/register', { json: { ...registration, transport: 'mail' } }],
      ['body/transport: must be one of cookie, body'],
    ],
    [
      'no flag',
      ['GET', '/admin/users?is_active=yes', { token }],
      ['querystring/is_active: must be one of true, false'],
    ],
  ]
  const admin = `/admin/users/${user.id}`
  const bodies: [path: string, json: unknown, errors: string[]][] = [
    ['/auth/register', {}, ['body/email: is needed', 'body/password: is needed']],
    ['/auth/register', [], ['body: must be an object']],
    [
      '/auth/register',
      { ...registration, email: 1, login: 'yes', more: 1 },
      ['body: "more" is not known here', 'body/email: must be a string', 'body/login: must be true or false'],
    ],
    ['/access_token', { grant_type: 'x' }, ['body/grant_type: must be refresh_token']],
    ['/users/me', {}, ['body: at least one of email, username, current_password is needed']],
    ['/users/me', { username: 1 }, ['body/username: must be a string or null']],
    ['/users/me', { username: 'x'.repeat(51) }, ['body/username: must not have more than 50 characters']],
    [admin, { tier: '!' }, ['body/tier: must be at most 50 letters, digits and : _ . - with a letter or digit first']],
    [admin, { roles: 'x' }, ['body/roles: must be an array']],
    ['/admin/clients', { name: '' }, ['body/name: must not be empty']],
    ['/admin/clients/x/secret', { overlap: 0.5 }, ['body/overlap: must be a whole number']],
  ]
  const putPaths = ['/users/me', admin]
  for (const [path, json, errors] of bodies) {
    rows.push([path, [putPaths.includes(path) ? 'PUT' : 'POST', path, { json, token }], errors])
  }
  const addresses: [path: string, errors: string[]][] = [
    ['/admin/users?limit=201', ['querystring/limit: must be a whole number from 1 to 200; 50 by default']],
    ['/admin/clients?after=x', ['querystring/after: must be `next` of the page before']],
  ]
  for (const [path, errors] of addresses) rows.push([path, ['GET', path, { token }], errors])
  for (const [name, call, errors] of rows) t.same((await issuer.call(...call)).body.errors, errors, name)

  const { app } = issuer
  for (const [type, payload, description] of [
    ['application/json', '{', 'body: no valid JSON, or a field in it twice'],
    ['application/x-www-form-urlencoded', 'token=a&token=b', 'body: no valid form, or a parameter in it twice'],
    ['text/plain', 'x', 'body: application/x-www-form-urlencoded or application/json is needed'],
  ] as const) {
    const answer = await app.inject({
      method: 'POST',
      url: '/oauth/revoke',
      headers: { 'content-type': type },
      payload,
    })
    t.equal(answer.json().error_description, description)
  }
})

test('what a pattern or a format asks for stands beside it in words', async (t) => {
  const { routes } = await recordRoutes(() => buildIssuer(t))
  let found = 0
  const look = (schema: Record<string, unknown>, place: string): void => {
    if (schema.pattern !== undefined || (schema.format !== undefined && schema.format !== 'password')) {
      found++
      t.type(schema.description, 'string', `${place} has a description`)
    }
    for (const [name, part] of Object.entries(schema)) {
      if (typeof part === 'object' && part !== null) look(part as Record<string, unknown>, `${place}/${name}`)
    }
  }
  for (const { method, url, schema } of routes) {
    for (const part of ['body', 'querystring', 'params'] as const) {
      if (schema[part]) look(schema[part] as Record<string, unknown>, `${method} ${url} ${part}`)
    }
  }
  t.ok(found >= 5, `${found} found`)
})

test('an address that is right says what it does not find', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register()
  await issuer.parts.users.update(user.id, { roles: ['superuser'] })
  const { access_token: token } = await issuer.login(user)
  for (const [method, path, detail] of [
    ['GET', '/users/x', 'There is no such user'],
    ['GET', '/admin/users/x/sessions', 'There is no such user'],
    ['DELETE', `/admin/users/${user.id}/sessions/x`, 'There is no such user or session'],
    ['DELETE', '/auth/sessions/x', 'There is no such session'],
    ['GET', '/admin/clients/x', 'There is no such client'],
    ['DELETE', '/admin/roles/x', 'There is no such role'],
    ['POST', '/admin/keys/x/revoke', 'There is no such key'],
    ['GET', '/public_key?kid=x', 'There is no such key'],
    ['GET', '/admin/nowhere', undefined],
  ] as const) {
    const answer = await issuer.call(method, path, { token })
    t.match({ status: answer.status, ...answer.body }, { status: 404, code: 'not_found' }, path)
    t.equal(answer.body.detail, detail, path)
  }
})

test('an error ends its line', async (t) => {
  const { app } = await buildIssuer(t)
  for (const url of ['/nowhere', '/users/me', '/oauth/revoke']) {
    const { payload, headers } = await app.inject({ method: 'POST', url, payload: {} })
    t.match(payload, /^\{.*\}\n$/, url)
    t.equal(Number(headers['content-length']), Buffer.byteLength(payload), url)
  }
})

test('the document lists every code that this issuer answers with', async (t) => {
  const issuer = await buildIssuer(t)
  const { info } = (await issuer.call('GET', '/openapi.json')).body
  const listed = [...info.description.matchAll(/^- `(\w+)` \((\d+)\): /gm)].map(([, code, status]) => [
    code,
    Number(status),
  ])
  const codes = Object.fromEntries(listed)
  for (const file of globSync('issuer/{http,domain}/**/*.ts', { cwd: ROOT })) {
    // It names those that it leaves out.
    if (file.endsWith('open-api.ts')) continue
    for (const [, code] of readFileSync(join(ROOT, file), 'utf8').matchAll(
      /'([a-z]+(?:_[a-z]+)+|forbidden|conflict|overloaded)'/g,
    )) {
      if (Object.hasOwn(PROBLEMS, code!)) t.equal(codes[code!], PROBLEMS[code as ProblemCode][0], `${file}: ${code}`)
    }
  }
  for (const code of ['upstream_timeout', 'revocations_stale']) t.notOk(code in codes, `${code} is a sidecar's`)
})

function form() {
  return { json: `email=a&password=${PASSWORD}`, headers: { 'content-type': 'application/x-www-form-urlencoded' } }
}

test('what went wrong inside stays inside', async (t) => {
  const issuer = await buildIssuer(t, {
    hasher: {
      hash: async () => 'x',
      verify: async () => {
        throw new Error('secret detail of the inside')
      },
      needsRehash: () => false,
      enter: () => () => {},
      fullForS: () => undefined,
    },
  })
  const answer = await issuer.call('POST', '/auth/login', { json: { email: 'a@example.com', password: 'x' } })
  t.match({ status: answer.status, code: answer.body.code }, { status: 500, code: 'internal_error' })
  t.notMatch(JSON.stringify(answer.body), 'secret detail')
})

test('a full hashing lane is 503 with a time to come again', async (t) => {
  const overloaded = async () => {
    throw new HashingOverloaded(5)
  }
  const issuer = await buildIssuer(t, {
    hasher: {
      hash: overloaded,
      verify: overloaded,
      needsRehash: () => false,
      enter: () => () => {},
      fullForS: () => undefined,
    },
  })
  for (const path of ['/auth/login', '/auth/register']) {
    const answer = await issuer.call('POST', path, { json: { email: 'a@example.com', password: PASSWORD } })
    t.match({ status: answer.status, code: answer.body.code }, { status: 503, code: 'overloaded' }, path)
    t.equal(answer.headers['retry-after'], '5')
  }
})

test('what is no HTTP is answered and closed', async (t) => {
  const issuer = await buildIssuer(t)
  await issuer.app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = issuer.app.server.address() as { port: number }
  const rows: [name: string, bytes: string, status: number][] = [
    ['garbage', 'hello\r\n\r\n', 400],
    ['two lengths', 'POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', 400],
    [
      'both framings',
      'POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      400,
    ],
    ['a head of 20 KiB', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
  ]
  for (const [name, bytes, status] of rows) {
    const socket = connect(port, '127.0.0.1')
    socket.write(bytes)
    const answer = await text(socket)
    t.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), name)
    t.match(answer, /application\/problem\+json/, name)
  }
})

test('a TLS handshake that never ends is given up', async (t) => {
  const server = createTlsServer({ handshakeTimeout: 100 })
  server.on('clientError', answerUnreadable)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  for (const bytes of ['', '\x16\x03\x01\x02\x00\x01']) {
    const socket = connect(port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.write(bytes, 'latin1')
    await eventually(() => socket.closed, { within: 60_000, message: 'the end of the connection' })
  }
})

test('two Authorization fields are refused', async (t) => {
  const issuer = await buildIssuer(t)
  const { access_token } = await issuer.login(await issuer.register())
  await issuer.app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = issuer.app.server.address() as { port: number }
  const field = `Authorization: Bearer ${access_token}\r\n`
  for (const [fields, status] of [
    [field, 200],
    [field + field, 401],
    [`${field}authorization: x\r\n`, 401],
  ] as const) {
    const socket = connect(port, '127.0.0.1')
    socket.write(`GET /users/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${fields}\r\n`)
    t.match(await text(socket), new RegExp(`^HTTP/1\\.1 ${status} `))
  }
})
