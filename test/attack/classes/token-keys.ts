import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import type { Shot } from '../deployment.ts'
import { exchange } from '../exchange.ts'
import { asking, signedByOther } from '../forge.ts'
import { broken, judgeRefused } from '../judge.ts'
import { type AttackClass, type Row, unauthorized } from '../row.ts'
import { openWire } from '../wire.ts'

const KIDS = [
  '../../../../dev/null',
  '/dev/null',
  'file:///dev/null',
  "' UNION SELECT 'secret' -- ",
  '| sleep 10',
  '$(sleep 10)',
  '__proto__',
  'constructor',
  'toString',
  '*',
  '',
  ' ',
  '\0',
  'x'.repeat(200),
]

/** Nobody knows such a key: 401; or 503 while it can't be asked whether there is one. */
const UNKNOWN_KEY = [401, 503]

/** A key of the sender's choice is named by address: nobody may go there. */
function neverFetched(member: string, header: (url: string) => Record<string, unknown>): Row {
  return {
    sent: `a key of one's own, to be fetched by ${member}`,
    expected: 'refused, and nobody fetches it',
    needs: ['guard'],
    async run(shot) {
      const listener = await startListener(shot)
      try {
        const token = signedByOther(shot, () => header(listener.url))
        const finding = judgeRefused(shot, await exchange(shot, asking(shot, token), shot.marker), UNKNOWN_KEY)
        return listener.visits() > 0
          ? broken(`${finding.observed}; ${listener.visits()} connections to the address`)
          : finding
      } finally {
        listener.close()
      }
    },
  }
}

/** Listens where the deployment could reach this machine, and counts who comes. */
async function startListener({ endpoint }: Shot) {
  const { localAddress, destroy } = await openWire(endpoint)
  destroy()
  let visits = 0
  const server = createServer((socket) => {
    visits++
    socket.on('error', () => {})
    socket.end('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"keys":[]}')
  })
  server.listen(0, localAddress)
  await once(server, 'listening')
  const host = localAddress.includes(':') ? `[${localAddress}]` : localAddress
  return {
    url: `http://${host}:${(server.address() as AddressInfo).port}/jwks.json`,
    visits: () => visits,
    close: () => server.close(),
  }
}

export const TOKEN_KEYS: AttackClass = {
  id: 'token-keys',
  title: 'kid injection; jku, x5u, jwk; redirects of the key set',
  known: ['CVE-2026-81829', 'CVE-2018-0114', 'CVE-2026-48522'],
  holds: 'kid is a key of a map and nothing else; nothing is fetched that a token names',
  alsoTestedIn: ['test/sidecar/feeds/jwks.test.ts', 'test/sidecar/domain/key-ring.test.ts', 'test/shared/jws.test.ts'],
  rows: [
    unauthorized("a key of one's own under the kid of a good one", (a) =>
      asking(
        a,
        signedByOther(a, () => ({})),
      ),
    ),
    unauthorized(
      "a key of one's own in the header (jwk)",
      (a) =>
        asking(
          a,
          signedByOther(a, (jwk) => ({ jwk })),
        ),
      [],
      UNKNOWN_KEY,
    ),
    unauthorized(
      "a key of one's own in the header, with a kid of its own",
      (a) =>
        asking(
          a,
          signedByOther(a, (jwk) => ({ jwk: { ...jwk, kid: 'mine' }, kid: 'mine' })),
        ),
      [],
      UNKNOWN_KEY,
    ),
    unauthorized(
      'a certificate in the header (x5c)',
      (a) =>
        asking(
          a,
          signedByOther(a, () => ({ x5c: ['MIIB'] })),
        ),
      [],
      UNKNOWN_KEY,
    ),
    unauthorized(
      'no kid',
      (a) =>
        asking(
          a,
          signedByOther(a, () => ({ kid: undefined })),
        ),
      [],
    ),
    ...[1, null, ['key-1'], { $ne: '' }].map((kid) =>
      unauthorized(
        `the kid ${JSON.stringify(kid)}`,
        (a) =>
          asking(
            a,
            signedByOther(a, () => ({ kid })),
          ),
        [],
      ),
    ),
    ...KIDS.map((kid) =>
      unauthorized(
        `the kid ${JSON.stringify(kid.slice(0, 30))}${kid.length > 30 ? '…' : ''}`,
        (a) =>
          asking(
            a,
            signedByOther(a, () => ({ kid })),
          ),
        [],
        UNKNOWN_KEY,
      ),
    ),
    neverFetched('jku', (jku) => ({ jku })),
    neverFetched('jku with a kid that nobody knows', (jku) => ({ jku, kid: 'mine' })),
    neverFetched('x5u', (x5u) => ({ x5u })),
    neverFetched('kid', (url) => ({ kid: url })),
    neverFetched('the jku of a jwk', (url) => ({ jwk: { kty: 'EC', jku: url, x5u: url } })),
    neverFetched('kid, with jku', (url) => ({ kid: url, jku: url, x5u: url })),
  ],
}
