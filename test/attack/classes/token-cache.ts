import type { Shot } from '../deployment.ts'
import { exchange } from '../exchange.ts'
import { asking } from '../forge.ts'
import { broken, held, notApplicable } from '../judge.ts'
import { type AttackClass, type Row, unauthorized } from '../row.ts'

/** Clocks may differ by so much: seconds. */
const LEEWAY_S = 5
/** A token that lives longer is not waited for: milliseconds. */
const WAIT_MS = 20_000

/** After the good token has been served, so that it is remembered. */
function afterGood(sent: string, change: (token: string) => string): Row {
  const row = unauthorized(sent, (a) => asking(a, change(a.token ?? '')))
  return {
    ...row,
    async run(shot) {
      const { answers } = await exchange(shot, asking(shot, shot.token ?? ''), `${shot.marker}-good`)
      if (answers[0]?.status !== shot.servedStatus) return notApplicable('the good token was not served')
      return row.run(shot)
    },
  }
}

function replaced(text: string, at: number): string {
  const i = at < 0 ? text.length + at : at
  return text.slice(0, i) + (text[i] === 'A' ? 'B' : 'A') + text.slice(i + 1)
}

const inPart = (part: number, at: number) => (token: string) =>
  token
    .split('.')
    .map((text, i) => (i === part ? replaced(text, at) : text))
    .join('.')

/** The end of a token: served before it, refused after it. */
const EXPIRY: Row = {
  sent: 'a token that was served, once it has expired (and the clocks’ leeway of 5 s is over)',
  expected: 'refused with 401',
  needs: ['token'],
  slow: true,
  async run(shot) {
    const statusOf = async (name: string) =>
      (await exchange(shot, asking(shot, shot.token ?? ''), `${shot.marker}-${name}`)).answers[0]?.status
    const endMs = (Number(shot.claims?.exp) + LEEWAY_S) * 1000
    if (!(endMs - Date.now() < Math.min(WAIT_MS, shot.slowMs))) {
      return notApplicable(`it lives ${Math.round((endMs - Date.now()) / 1000)} s more: too long to wait`)
    }
    if ((await statusOf('before')) !== shot.servedStatus) return notApplicable('it was not served before')
    await until(endMs + 100)
    const after = await statusOf('after')
    return after === 401 ? held('served before, 401 after') : broken(`served before, ${after} after`)
  },
}

async function until(ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  setTimeout(resolve, ms - Date.now())
  await promise
}

const same = (a: Shot) => a.token ?? ''

export const TOKEN_CACHE: AttackClass = {
  id: 'token-cache',
  title: 'a token cache that outlives exp, or collides',
  known: ['CVE-2026-107719', 'CVE-2026-35039', 'CVE-2026-33496'],
  holds: 'never: what is remembered is found by the whole token, and ends with it',
  alsoTestedIn: ['test/sidecar/domain/verify.test.ts', 'test/attack/token-cache.test.ts'],
  rows: [
    afterGood('a remembered token, the first character of its header another', inPart(0, 0)),
    afterGood('a remembered token, the last character of its header another', inPart(0, -1)),
    afterGood('a remembered token, the first character of its claims another', inPart(1, 0)),
    afterGood('a remembered token, the last character of its claims another', inPart(1, -1)),
    afterGood('a remembered token, the first character of its signature another', inPart(2, 0)),
    afterGood('a remembered token, the middle of its signature another', inPart(2, 40)),
    afterGood('a remembered token, the unused bits of its last character set', (token) =>
      token.replace(/.$/, (last) => String.fromCharCode(last.charCodeAt(0) + 1)),
    ),
    afterGood('a remembered token without its last character', (token) => token.slice(0, -1)),
    afterGood('a remembered token with a character more', (token) => `${token}A`),
    afterGood('the header and claims of a remembered token', (token) => token.replace(/[^.]*$/, '')),
    afterGood('the signature of a remembered token alone', (token) => `..${token.split('.')[2]}`),
    afterGood('a remembered token in capitals', (token) => token.toUpperCase()),
    unauthorized('a remembered token under Basic', (a) => asking(a, same(a)).replace('Bearer', 'Basic')),
    EXPIRY,
  ],
}
