import type { Shot } from '../deployment.ts'
import { get } from '../requests.ts'
import { type AttackClass, type Row, single } from '../row.ts'

/** As the README names them: a deployment that calls them otherwise strips these too. */
const NAMES = [
  'X-User-Id',
  'X-Session-Id',
  'X-User-Email',
  'X-User-Roles',
  'X-User-Scope',
  'X-User-Tier',
  'X-User-Claims',
]

const SPELLINGS: [name: string, spell: (name: string) => string][] = [
  ['as they are', (name) => name],
  ['in small letters', (name) => name.toLowerCase()],
  ['in capitals', (name) => name.toUpperCase()],
  ['with _ for -', (name) => name.replaceAll('-', '_')],
  ['with _ for the first -', (name) => name.replace('-', '_')],
  ['with _ for the last -', (name) => name.replace(/-(?=[^-]*$)/, '_')],
  ['with . for -', (name) => name.replaceAll('-', '.')],
  ['with . and _ for -', (name) => name.replace('-', '.').replaceAll('-', '_')],
  ['as CGI has them', (name) => name.replaceAll('-', '_').toUpperCase()],
]

const evil = (a: Shot) => `evil-${a.marker}`

/** What the sidecar says about a token that is there. */
function ownIdentity({ guarded, claims }: Shot): [name: string, value: string][] {
  if (!guarded) return []
  const fields: [string, unknown][] = [
    ['X-User-Id', claims?.sub],
    ['X-Session-Id', claims?.sid],
  ]
  return fields.flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : []))
}

function stripped(sent: string, fields: (a: Shot) => string[]): Row {
  return single(
    sent,
    (a) => get(a, fields(a)),
    () => ({ method: 'GET' }),
    {
      needs: ['echo'],
      never: (a) => [evil(a)],
      always: ownIdentity,
    },
  )
}

export const IDENTITY_HEADERS: AttackClass = {
  id: 'identity-headers',
  title: 'identity header aliases',
  known: ['CVE-2025-64484', 'CVE-2026-88011', 'CVE-2026-54763', 'CVE-2026-30851'],
  holds: 'stripped on every route, public ones included; what the sidecar says is what arrives',
  alsoTestedIn: ['test/attack/identity-headers.test.ts', 'test/sidecar/proxy/request-headers.test.ts'],
  rows: [
    ...SPELLINGS.map(([name, spell]) =>
      stripped(`every identity header ${name}`, (a) => NAMES.map((header) => `${spell(header)}: ${evil(a)}`)),
    ),
    stripped('every identity header three times', (a) =>
      [...NAMES, ...NAMES, ...NAMES].map((header) => `${header}: ${evil(a)}`),
    ),
    stripped('an identity header with blanks around its value', (a) => [`X-User-Id: \t ${evil(a)} \t`]),
    stripped('an identity header without a blank', (a) => [`X-User-Id:${evil(a)}`]),
    stripped('an empty identity header, then a full one', (a) => ['X-User-Id:', `X-User-Id: ${evil(a)}`]),
    stripped('where the request comes from, from somebody who is not to say it', (a) => [
      ...['X-Forwarded-For', 'X-Real-IP', 'X-Client-IP', 'X_Forwarded_For'].map((header) => `${header}: ${evil(a)}`),
      `Forwarded: for=${evil(a)}`,
    ]),
  ],
}

const CONNECTIONS: [name: string, fields: (all: string) => string[]][] = [
  ['names every header the sidecar sets', (all) => [`Connection: ${all}`]],
  ['names them in small letters behind close', (all) => [`Connection: close, ${all.toLowerCase()}`]],
  ['names them in capitals behind keep-alive', (all) => [`Connection: keep-alive,${all.toUpperCase()}`]],
  ['names them in two fields', (all) => ['Connection: x-user-id', `Connection: ${all}`]],
  ['names them with empty members', (all) => [`Connection: ,, ,${all},,`]],
  ['names them as Proxy-Connection', (all) => [`Proxy-Connection: ${all}`]],
  ['names them and sends one', (all) => [`Connection: ${all}`, 'X-User-Roles: superuser']],
  ['names Host', () => ['Connection: host']],
  ['names Authorization', () => ['Connection: authorization']],
  ['names X-Forwarded-For', () => ['Connection: x-forwarded-for, x-forwarded-proto, x-forwarded-host']],
]

export const CONNECTION_HEADER: AttackClass = {
  id: 'connection-header',
  title: 'Connection: x-user-id',
  known: ['CVE-2026-33805', 'CVE-2024-45410', 'CVE-2026-29054', 'CVE-2022-31813'],
  holds: 'the headers the sidecar set arrive, whatever Connection names',
  alsoTestedIn: ['test/attack/identity-headers.test.ts'],
  rows: [
    ...CONNECTIONS.map(([name, fields]) =>
      single(
        `Connection ${name}`,
        (a) => get(a, fields([...NAMES, 'X-Forwarded-For', 'X-Forwarded-Host', 'Host'].join(', '))),
        () => ({ method: 'GET' }),
        {
          needs: ['echo', 'token'],
          always: ownIdentity,
          never: () => ['superuser'],
        },
      ),
    ),
    single(
      'Connection names a field of the client, which goes no further',
      (a) => get(a, ['Connection: X-Once', `X-Once: once-${a.marker}`]),
      () => ({ method: 'GET' }),
      { needs: ['echo'], never: (a) => [`once-${a.marker}`] },
    ),
  ],
}
