import { deflateRawSync } from 'node:zlib'
import type { Shot } from '../deployment.ts'
import { asking, partsOf, withClaims, withHeader } from '../forge.ts'
import { get } from '../requests.ts'
import { type AttackClass, refused, unauthorized } from '../row.ts'

const base64url = (text: string | Buffer) => Buffer.from(text).toString('base64url')
const token = (a: Shot) => a.token ?? ''
/** A header and what follows it, where no good token is needed. */
const jwe = (header: object, ciphertext = 'AAAA') =>
  `${base64url(JSON.stringify(header))}.AAAA.AAAA.${base64url(ciphertext)}.AAAA`

const CHANGED: [name: string, change: (token: string) => string][] = [
  ['with padding', (good) => `${good}==`],
  ['with a part more', (good) => `${good}.AAAA`],
  ['with an empty part more', (good) => `${good}.`],
  ['with a dot before it', (good) => `.${good}`],
  ['with an empty header', (good) => good.replace(/^[^.]+/, '')],
  ['with empty claims', (good) => good.replace(/\.[^.]+\./, '..')],
  ['of two parts', (good) => good.replace(/\.[^.]+$/, '')],
  ['of one part', (good) => good.replace(/\..*$/, '')],
  ['percent-encoded', (good) => good.replaceAll('.', '%2E')],
  ['in base64 with + and /', (good) => `${good.slice(0, -1)}+`],
  ['with a tab behind it, and more', (good) => `${good}\tx`],
  ['with a byte beyond ASCII', (good) => `${good}\xe9`],
  [
    'as JSON',
    (good) => {
      const [header, payload, signature] = good.split('.')
      return JSON.stringify({ protected: header, payload, signature })
    },
  ],
]

export const TOKEN_FORMS: AttackClass = {
  id: 'token-forms',
  title: 'JWE, zip, crit, five parts',
  known: ['CVE-2024-28180', 'GHSA-hhhv-q57g-882q'],
  holds: 'refused, and cheaply: nothing is decrypted, inflated or fetched',
  alsoTestedIn: ['test/shared/jws.test.ts', 'test/shared/bearer.test.ts'],
  rows: [
    unauthorized('a JWE (dir)', (a) => asking(a, jwe({ alg: 'dir', enc: 'A256GCM' })), []),
    unauthorized(
      'a JWE (RSA-OAEP) with a kid',
      (a) => asking(a, jwe({ alg: 'RSA-OAEP', enc: 'A256GCM', kid: 'key-1' })),
      [],
    ),
    unauthorized(
      'a JWE (PBES2) of two thousand million rounds',
      (a) => asking(a, jwe({ alg: 'PBES2-HS512+A256KW', enc: 'A256GCM', p2c: 2_000_000_000, p2s: 'AAAA' })),
      [],
    ),
    unauthorized(
      'a JWE whose text inflates a thousandfold',
      (a) =>
        asking(
          a,
          jwe({ alg: 'dir', enc: 'A256GCM', zip: 'DEF' }, deflateRawSync(Buffer.alloc(4_000_000)).toString('latin1')),
        ),
      [],
    ),
    ...[
      { crit: ['exp'] },
      { crit: [] },
      { crit: ['b64'], b64: false },
      { b64: false },
      { zip: 'DEF' },
      { enc: 'A256GCM' },
      { typ: 'JWT' },
      { typ: 'secevent+jwt' },
      { typ: undefined },
      { typ: ['at+jwt'] },
      { cty: 'JWT' },
    ].map((more) =>
      unauthorized(
        `a token whose header says ${JSON.stringify(more)}`,
        (a) => asking(a, withHeader(a, more)),
        [],
        [401, 503],
      ),
    ),
    ...CHANGED.map(([name, change]) =>
      refused(`a good token ${name}`, (a) => asking(a, change(token(a))), {
        statuses: [400, 401],
        needs: ['token', 'guard'],
      }),
    ),
    unauthorized('a token of a hundred dots', (a) => asking(a, '.'.repeat(100)), []),
    unauthorized('a token of six thousand dots', (a) => asking(a, '.'.repeat(6000)), []),
    unauthorized('a token of 9 KiB', (a) => asking(a, withClaims(a, { more: 'x'.repeat(7000) })), []),
    refused('a token of 60 KiB', (a) => asking(a, 'x'.repeat(60_000)), { statuses: [400, 401, 431], needs: ['guard'] }),
    unauthorized(
      'claims nested two thousand deep',
      (a) => {
        const [header] = withHeader(a, {}).split('.')
        return asking(a, `${header}.${base64url(`${'['.repeat(2000)}${']'.repeat(2000)}`)}.AAAA`)
      },
      [],
    ),
    unauthorized('claims that are no JSON', (a) => asking(a, `${withHeader(a, {}).split('.')[0]}.AAAA.AAAA`), []),
    unauthorized(
      'claims with __proto__',
      (a) => {
        const { claims } = partsOf(a)
        const text = JSON.stringify(claims).replace('{', '{"__proto__":{"roles":["superuser"]},')
        return asking(a, `${withHeader(a, {}).split('.')[0]}.${base64url(text)}.AAAA`)
      },
      [],
    ),
    unauthorized(
      'a header with alg twice',
      (a) => {
        const text = JSON.stringify(partsOf(a).header).replace('{', '{"alg":"none",')
        return asking(a, `${base64url(text)}.${base64url(JSON.stringify(partsOf(a).claims))}.AAAA`)
      },
      [],
    ),
    refused('a token that is a header line', (a) => get(a, ['Authorization: Bearer x\r\n y']), {
      statuses: [400, 401],
    }),
  ],
}
