import type { Deployment, Shot } from './deployment.ts'
import { type Bytes, exchange } from './exchange.ts'
import { type Finding, judgeRefused, judgeSingle } from './judge.ts'
import type { Meant } from './requests.ts'

/** What a row can't do without. */
export type Need = 'guard' | 'token' | 'admission' | 'echo' | 'session' | 'keys' | 'websocket'

export const WHAT_IS_NEEDED: Record<Need, string> = {
  guard: 'needs a path that is refused without a token (--path)',
  token: 'needs a token (TOKEN, or EMAIL and PASSWORD)',
  admission: 'needs a token (TOKEN, or EMAIL and PASSWORD), or a public path (--path)',
  echo: 'needs a service that answers with the header it received (--echo)',
  session: 'needs EMAIL, PASSWORD and --issuer',
  keys: 'needs --issuer',
  websocket: 'needs --websocket',
}

/** One attack. */
export interface Row {
  /** What is sent, in words. */
  sent: string
  /** What has to come of it, in words. */
  expected: string
  needs: readonly Need[]
  /** It takes as long as it is let: run beside the others. */
  slow?: boolean
  run(shot: Shot): Promise<Finding>
}

/** Attacks of one kind. */
export interface AttackClass {
  /** Short, and stable: the command can be told to run these only. */
  id: string
  title: string
  /** CVE and GHSA numbers of programs that fell for it. */
  known: readonly string[]
  /** What must hold. */
  holds: string
  /** Tests beside the rows, from the repository's root. */
  alsoTestedIn: readonly string[]
  rows: readonly Row[]
}

/** What the deployment does not have of what the row needs. */
export function missingNeed(row: Row, deployment: Deployment): Need | undefined {
  const has: Record<Need, boolean> = {
    guard: deployment.guarded,
    token: deployment.token !== undefined && deployment.guarded,
    admission: deployment.admits,
    echo: deployment.admits && (deployment.echoes || deployment.recorder !== undefined),
    session: deployment.login !== undefined && deployment.guarded,
    keys: (deployment.keys?.length ?? 0) > 0,
    websocket: deployment.websocketPath !== undefined,
  }
  return row.needs.find((need) => !has[need])
}

/** Nothing of it reaches the service: the answer has one of the statuses (by default any that blames the request). */
export function refused(
  sent: string,
  bytes: (shot: Shot) => Bytes,
  { statuses, needs = [] }: { statuses?: readonly number[]; needs?: readonly Need[] } = {},
): Row {
  return {
    sent,
    expected: statuses ? `refused with ${statuses.join(' or ')}` : 'refused',
    needs,
    run: async (shot) => judgeRefused(shot, await exchange(shot, bytes(shot), shot.marker), statuses),
  }
}

/** Refused for its token alone. An unknown key may also be answered with 503, when it can't be asked for. */
export function unauthorized(
  sent: string,
  bytes: (shot: Shot) => Bytes,
  needs: readonly Need[] = ['token'],
  statuses: readonly number[] = [401],
): Row {
  return refused(sent, bytes, { statuses, needs: [...needs, 'guard'] })
}

/** Exactly one request arrives, and it is the one that is meant. */
export function single(
  sent: string,
  bytes: (shot: Shot) => Bytes,
  meant: (shot: Shot) => Partial<Meant> = () => ({}),
  { needs = ['admission'], never, always, mayRefuse = false }: SingleOptions = {},
): Row {
  return {
    sent,
    expected: 'one request, the one that is meant',
    needs,
    async run(shot) {
      const observation = await exchange(shot, bytes(shot), shot.marker)
      const judged = mayRefuse && judgeRefused(shot, observation)
      if (judged && judged.verdict === 'held') return judged
      return judgeSingle(shot, observation, {
        meant: { method: 'POST', target: shot.path, body: '', ...meant(shot) },
        never: never?.(shot),
        always: always?.(shot),
      })
    },
  }
}

interface SingleOptions {
  needs?: readonly Need[]
  /** What the service is never to see: any of these strings. */
  never?: (shot: Shot) => string[]
  /** The service itself may refuse it. */
  mayRefuse?: boolean
  /** What it has to see: fields. */
  always?: (shot: Shot) => [name: string, value: string][]
}

/** At most one request arrives; refusing it is as good. */
export function atMostOne(sent: string, bytes: (shot: Shot) => Bytes, needs: readonly Need[] = ['admission']): Row {
  return {
    sent,
    expected: 'refused, or one request',
    needs,
    async run(shot) {
      const observation = await exchange(shot, bytes(shot), shot.marker)
      const judged = judgeRefused(shot, observation)
      return judged.verdict === 'held' ? judged : judgeSingle(shot, observation, {})
    },
  }
}
