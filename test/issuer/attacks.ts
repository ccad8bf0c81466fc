import { PASSWORD } from './build.ts'

/** A request that is an attack. */
export type Row = [name: string, method: 'GET' | 'POST' | 'PUT' | 'DELETE', url: string, body?: unknown]

const OPERATOR = { $ne: null }
const encoded = encodeURIComponent
const cursor = (parts: unknown) => Buffer.from(JSON.stringify(parts)).toString('base64url')

/** NoSQL operators wherever a value goes. Bodies are JSON, or a form when they are text. */
export const OPERATORS: Row[] = [
  ['an e-mail address that is an operator', 'POST', '/auth/login', { email: OPERATOR, password: PASSWORD }],
  ['a user name that is an operator', 'POST', '/auth/login', { username: { $gt: '' }, password: PASSWORD }],
  ['a password that is an operator', 'POST', '/auth/login', { username: 'plain', password: { $regex: '.*' } }],
  ['an operator beside the credentials', 'POST', '/auth/login', { username: 'plain', password: 'x', $or: [{}] }],
  ['$where beside the credentials', 'POST', '/auth/login', { username: 'plain', password: 'x', $where: 'true' }],
  ['operators spelled as text', 'POST', '/auth/login', { username: '$ne', password: '{"$ne":null}' }],
  ['a list of e-mail addresses', 'POST', '/auth/login', { email: ['a@example.com'], password: PASSWORD }],
  ['a new user with an operator', 'POST', '/auth/register', { email: { $gt: '' }, password: PASSWORD }],
  [
    'a new user whose name is one',
    'POST',
    '/auth/register',
    { email: 'n@example.com', username: '$where', password: PASSWORD },
  ],
  [
    'a new user with $set',
    'POST',
    '/auth/register',
    { email: 'n@example.com', password: PASSWORD, $set: { tier: 'pro' } },
  ],
  ['a refresh token that is an operator', 'POST', '/auth/refresh', { refresh_token: OPERATOR }],
  ['logging out an operator', 'POST', '/auth/logout', { refresh_token: OPERATOR, all: true }],
  ['a forgotten password of everyone', 'POST', '/auth/forgot-password', { email: OPERATOR }],
  ['a link that is an operator', 'POST', '/auth/verify-email', { token: { $gt: '' } }],
  ['a reset by an operator', 'POST', '/auth/reset-password', { token: { $gt: '' }, password: `${PASSWORD} 2` }],
  [
    'a reset by an operator as text',
    'POST',
    '/auth/reset-password',
    { token: '{"$gt":""}', password: `${PASSWORD} 2` },
  ],
  ['a grant with operators', 'POST', '/auth/token', { grant_type: 'password', username: OPERATOR, password: OPERATOR }],
  ['a form with operators', 'POST', '/auth/token', 'grant_type=password&username[$ne]=&password[$ne]='],
  ['a form with a list', 'POST', '/auth/token', 'grant_type=password&username[]=plain&password[]=x'],
  [
    'a client that is an operator',
    'POST',
    '/auth/token',
    { grant_type: 'client_credentials', client_id: OPERATOR, client_secret: OPERATOR },
  ],
  [
    'a form with a client that is one',
    'POST',
    '/auth/token',
    'grant_type=client_credentials&client_id=%7B%24ne%3A1%7D&client_secret=x',
  ],
  ['a grant type that every object has', 'POST', '/auth/token', 'grant_type=constructor'],
  ['a grant type that is a prototype', 'POST', '/auth/token', 'grant_type=__proto__'],
  ['introspecting an operator', 'POST', '/oauth/introspect', { token: OPERATOR }],
  ['revoking an operator', 'POST', '/oauth/revoke', { token: OPERATOR }],
  ['a profile with $set', 'PUT', '/users/me', { $set: { roles: ['superuser'] } }],
  ['a profile with a path', 'PUT', '/users/me', { 'roles.0': 'superuser' }],
  ['a profile whose name is an operator', 'PUT', '/users/me', { username: OPERATOR }],
  ['a user that is an operator', 'GET', `/users/${encoded('{"$ne":null}')}`],
  ['deleting a user that is one', 'DELETE', `/admin/users/${encoded('{"$ne":null}')}`],
  ['deleting $where', 'DELETE', '/admin/users/$where'],
  ['ending the session of an operator', 'DELETE', `/admin/users/$ne/sessions/${encoded('{"$gt":""}')}`],
  ['roles that are operators', 'PUT', '/admin/users/$ne', { roles: [{ $each: ['superuser'] }] }],
  ['a tier that is an operator', 'PUT', '/admin/users/$ne', { tier: '$passwordHash' }],
  ['a search by regex', 'GET', '/admin/users?email[$regex]=.*'],
  ['a search for other roles', 'GET', '/admin/users?role[$ne]=x'],
  ['a search by $where', 'GET', `/admin/users?$where=${encoded('sleep(1000)')}`],
  ['a page after an operator', 'GET', `/admin/users?after=${cursor(['created', { $gt: 0 }, 'x'])}`],
  ['a page after an operator by address', 'GET', `/admin/users?email=a&after=${cursor(['email', 'a', { $gt: '' }])}`],
  ['a role that is an operator', 'POST', '/admin/roles', { name: '$where' }],
  ['a permission that is an operator', 'POST', '/admin/roles', { name: 'author', permissions: ['$ne'] }],
  ['deleting a role that is one', 'DELETE', `/admin/roles/${encoded('{"$ne":null}')}`],
  ['a client with an operator for a name', 'POST', '/admin/clients', { name: OPERATOR }],
  ['clients after an operator', 'GET', '/admin/clients?after[$gt]='],
  ['deleting a client that is an operator', 'DELETE', `/admin/clients/${encoded('{"$ne":null}')}`],
  ['a key that is an operator', 'GET', '/public_key?kid[$ne]=x'],
  ['revoking a key that is one', 'POST', '/admin/keys/$ne/revoke'],
]

/** The rest of what is known to have been tried, and what nobody asked for. */
export const ATTACKS: Row[] = [
  ...['role', 'roles', 'tier', 'is_verified', 'is_admin', 'id', 'epoch', 'created_at'].map(
    (field): Row => [
      'mass assignment at registration',
      'POST',
      '/auth/register',
      { email: 'n@example.com', password: PASSWORD, [field]: 'superuser' },
    ],
  ),
  ...['roles', 'tier', 'is_active', 'password', 'id'].map(
    (field): Row => [
      'mass assignment in the profile',
      'PUT',
      '/users/me',
      { username: 'changed', [field]: 'superuser' },
    ],
  ),
  ['prototype pollution', 'PUT', '/users/me', { constructor: { prototype: { isAdmin: true } } }],
  ['a password of 15 KB', 'POST', '/auth/register', { email: 'n@example.com', password: 'x'.repeat(15_000) }],
  ['a password of 1 MB', 'POST', '/auth/login', { username: 'plain', password: 'x'.repeat(1_048_576) }],
  [
    'a name of 10,000 characters',
    'POST',
    '/auth/register',
    { email: `${'x'.repeat(10_000)}@example.com`, password: PASSWORD },
  ],
  [
    'an address that breaks out of a mail',
    'POST',
    '/auth/forgot-password',
    { email: 'a@example.com\r\nBcc: b@example.com' },
  ],
  ['an address of two', 'POST', '/auth/register', { email: 'a@example.com,b@example.com', password: PASSWORD }],
  [
    'a name with what cannot be seen',
    'POST',
    '/auth/register',
    { email: 'n@example.com', username: 'pla\u200bin', password: PASSWORD },
  ],
  ['SQL in a name', 'POST', '/auth/login', { username: "plain' OR '1'='1", password: PASSWORD }],
  ['SQL in a path', 'GET', `/admin/users/${encoded("x' UNION SELECT passwordHash FROM users--")}`],
  ['leaving a folder', 'GET', '/docs/static/..%2f..%2f..%2fpackage.json'],
  ['credentials in the address', 'POST', '/auth/login?username=plain&password=x'],
  ['everything by a query that nobody reads', 'POST', '/auth/logout?all=true'],
  ['null for a body', 'POST', '/auth/logout', null],
  ['a body that nobody reads', 'DELETE', '/users/me', { password: PASSWORD }],
]

const LOGIN = 'POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
const CHUNKED = `${LOGIN}Transfer-Encoding: chunked\r\n\r\n`
/** A GET, byte by byte. */
export const get = (target: string, fields = 'Host: x\r\n') => `GET ${target} HTTP/1.1\r\n${fields}\r\n`

/** Bytes that are no proper HTTP, and how each is answered. */
export const MESSAGES: [name: string, bytes: string, status: number][] = [
  ['invalid UTF-8 in the path', get('/users/\xff\xfe'), 400],
  ['invalid UTF-8 in the query', get('/public_key?kid=\xc3\x28'), 400],
  ['a field name that is no ASCII', get('/users/me', 'Host: x\r\nX\xff: y\r\n'), 400],
  ['a NUL in a field', get('/users/me', 'Host: x\r\nX: a\0b\r\n'), 400],
  ['a NUL in the path', get('/users/\0'), 400],
  ['a request line of 20 KB', get(`/users/${'x'.repeat(20_000)}`), 431],
  ['a query of 20 KB', get(`/users/me?${'x'.repeat(20_000)}`), 431],
  ['a method of 20 KB', `${'G'.repeat(20_000)} / HTTP/1.1\r\nHost: x\r\n\r\n`, 400],
  ['3000 fields', get('/users/me', `Host: x\r\n${'a:b\r\n'.repeat(3000)}`), 431],
  ['bare line feeds', 'GET /users/me HTTP/1.1\nHost: x\n\n', 400],
  ['a folded field', get('/users/me', 'Host: x\r\nX: a\r\n b\r\n'), 400],
  ['a space before the colon', get('/users/me', 'Host: x\r\nAuthorization : x\r\n'), 400],
  ['a space in the target', get('/users/ me'), 400],
  ['a target without a slash', get('users/me'), 400],
  ['a fragment', get('/users/me#x'), 400],
  ['a way up', get('/docs/../admin/users'), 404],
  ['another authority', get('http://evil.example/users/me'), 401],
  ['no Host', get('/users/me', ''), 400],
  ['two Hosts', get('/users/me', 'Host: x\r\nHost: y\r\n'), 400],
  ['an unknown expectation', `${LOGIN}Expect: x\r\nContent-Length: 2\r\n\r\n{}`, 400],
  ['an unknown method', 'FOO /users/me HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['a method in small letters', 'get /users/me HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['CONNECT', 'CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n', 405],
  ['TRACE', 'TRACE /users/me HTTP/1.1\r\nHost: x\r\n\r\n', 405],
  ['an upgrade to HTTP/2', get('/users/me', 'Host: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n'), 401],
  ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  ['HTTP/9.9', 'GET /users/me HTTP/9.9\r\nHost: x\r\n\r\n', 400],
  ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
  ['a chunk size that is none', `${CHUNKED}zz\r\n{}\r\n0\r\n\r\n`, 400],
  ['a negative chunk size', `${CHUNKED}-1\r\n{}\r\n`, 400],
  ['a chunk size beyond 64 bits', `${CHUNKED}FFFFFFFFFFFFFFFFF\r\n`, 400],
  ['a chunk extension of 20 KB', `${CHUNKED}2;${'x'.repeat(20_000)}\r\n{}\r\n0\r\n\r\n`, 400],
  ['a chunk without its end', `${CHUNKED}2\r\n{}0\r\n\r\n`, 400],
  ['1 MB in one chunk', `${CHUNKED}100000\r\n${'x'.repeat(0x100000)}\r\n0\r\n\r\n`, 413],
  ['1 MB by its length', `${LOGIN}Content-Length: 1048576\r\n\r\n${'x'.repeat(0x100000)}`, 413],
  ['bad chunking on an OAuth route', CHUNKED.replace('/auth/login', '/auth/token').concat('zz\r\n'), 400],
  ['a negative length', `${LOGIN}Content-Length: -1\r\n\r\n`, 400],
  ['a signed length', `${LOGIN}Content-Length: +2\r\n\r\n{}`, 400],
  ['a list of lengths', `${LOGIN}Content-Length: 2, 2\r\n\r\n{}`, 400],
  ['a length beyond 64 bits', `${LOGIN}Content-Length: ${'9'.repeat(23)}\r\n\r\n{}`, 400],
  ['both framings', `${LOGIN}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
  ['an unknown coding', `${LOGIN}Transfer-Encoding: x\r\n\r\n{}`, 400],
  ['chunked that is not the last coding', `${LOGIN}Transfer-Encoding: chunked, x\r\n\r\n{}`, 400],
]
