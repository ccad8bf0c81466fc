import type { Shot } from '../deployment.ts'
import { exchange } from '../exchange.ts'
import { asking } from '../forge.ts'
import { broken, held, notApplicable } from '../judge.ts'
import type { AttackClass, Row } from '../row.ts'

const statusOf = async (shot: Shot, token: string, name: string) =>
  (await exchange(shot, asking(shot, token), `${shot.marker}-${name}`)).answers[0]?.status

/** Asks until the token is refused. @returns how long it took in ms, or undefined when it was served to the end */
async function untilRefused(shot: Shot, token: string): Promise<number | undefined> {
  const startedAt = performance.now()
  for (let i = 0; performance.now() - startedAt < shot.revocationMs; i++) {
    if ((await statusOf(shot, token, `after-${i}`)) === 401) return performance.now() - startedAt
  }
  return undefined
}

const LOGGED_OUT: Row = {
  sent: 'a token that was served (and is remembered), after logout has answered',
  expected: 'refused with 401 within the bound, and from then on',
  needs: ['session'],
  async run(shot) {
    const { token, logout } = await shot.login!()
    const before = await statusOf(shot, token, 'before')
    await logout()
    if (before !== shot.servedStatus) return notApplicable(`${before} before logout`)
    const ms = await untilRefused(shot, token)
    if (ms === undefined) return broken(`still served ${shot.revocationMs / 1000} s after logout`)
    for (let i = 0; i < 10; i++) {
      const later = await statusOf(shot, token, `later-${i}`)
      if (later !== 401) return broken(`401 and then ${later}`)
    }
    return held(`401 ${Math.round(ms)} ms after logout, and ten times after`)
  },
}

const SAME_SECOND: Row = {
  sent: 'a token of a login in the same second as the logout before it',
  expected: 'served: what is compared is no clock',
  needs: ['session'],
  async run(shot) {
    const first = await shot.login!()
    await first.logout()
    const second = await shot.login!()
    const status = await statusOf(shot, second.token, 'second')
    const old = await untilRefused(shot, first.token)
    const still = await statusOf(shot, second.token, 'still')
    await second.logout()
    const words = `the new one ${status}, the old one ${old === undefined ? 'still served' : 401}, the new one ${still}`
    return status === shot.servedStatus && still === shot.servedStatus && old !== undefined
      ? held(words)
      : broken(words)
  },
}

export const REVOCATION: AttackClass = {
  id: 'revocation',
  title: 'revocation compared with the wrong clock',
  known: ['CVE-2020-26892', 'GHSA-4hv6-xc92-j86g'],
  holds: 'sessions and epochs are compared, not clocks: a logout ends its session and no other',
  alsoTestedIn: [
    'test/attack/run.test.ts',
    'test/e2e/logout-everywhere.test.ts',
    'test/sidecar/domain/revocation-list.test.ts',
    'test/sidecar/domain/decide.test.ts',
  ],
  rows: [LOGGED_OUT, SAME_SECOND],
}
