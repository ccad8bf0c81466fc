import type { Answer } from '../helpers/answers.ts'
import type { Deployment } from './deployment.ts'
import type { Observation } from './exchange.ts'
import { fieldOf, type RecordedRequest } from './recorder.ts'
import type { Meant } from './requests.ts'

export type Verdict = 'held' | 'BROKEN' | 'not applicable'

export interface Finding {
  verdict: Verdict
  /** What was seen, in words. */
  observed: string
}

export const held = (observed: string): Finding => ({ verdict: 'held', observed })
export const broken = (observed: string): Finding => ({ verdict: 'BROKEN', observed })
export const notApplicable = (observed: string): Finding => ({ verdict: 'not applicable', observed })

/** Whether a status blames the request. */
const isRefusal = (status: number) => (status >= 400 && status < 500) || status === 501 || status === 505

/** Judges an attack of which nothing may reach the service. */
export function judgeRefused(deployment: Deployment, observation: Observation, statuses?: readonly number[]): Finding {
  const { answers, seen, ended } = observation
  const words = describe(observation)
  const arrived = describeSeen(seen)
  if (arrived !== undefined) return broken(`${words}; the service received ${arrived}`)
  const [first] = answers
  if (first === undefined) {
    if (!ended && !seen) return notApplicable('neither an answer nor an end: nothing can be told')
    return (
      spoiled(deployment, observation) ?? held(ended ? 'the connection was ended' : 'no answer, and nothing arrived')
    )
  }
  if (answers.length > 1) return broken(`${words}: more than one answer`)
  if (first.status === 401 && !deployment.admits && !statuses?.includes(401)) {
    return notApplicable('401: needs a token (TOKEN, or EMAIL and PASSWORD), or a public path (--path)')
  }
  if (!(statuses ? statuses.includes(first.status) : isRefusal(first.status))) return broken(words)
  return spoiled(deployment, observation) ?? held(words)
}

export interface SingleRules {
  /** The request as it is to arrive. */
  meant?: Meant
  never?: string[] | undefined
  always?: [name: string, value: string][] | undefined
}

/** Judges an attack of which one request may come, and no other. */
export function judgeSingle(
  deployment: Deployment,
  observation: Observation,
  { meant, never = [], always = [] }: SingleRules,
): Finding {
  const { answers, seen } = observation
  const words = describe(observation)
  const [first] = answers
  if (answers.length !== 1 || !first) return broken(`${words}: not one answer`)
  if (!isServed(deployment, first.status)) {
    return broken(`${words}: it was not served`)
  }
  if (seen && seen.length !== 1) return broken(`${words}; the service received ${describeSeen(seen) ?? 'nothing'}`)
  const difference = seen && meant && differenceOf(deployment, seen[0]!, meant)
  if (difference !== undefined) return broken(`${words}; ${difference}`)
  const visible = [...(seen ?? []).map(({ raw }) => raw), ...(deployment.echoes ? [first.body] : [])]
  const leaked = never.find((text) => visible.some((bytes) => bytes.toLowerCase().includes(text.toLowerCase())))
  if (leaked !== undefined) return broken(`${words}; the service received ${JSON.stringify(leaked)}`)
  for (const [name, value] of always) {
    const arrived = seen ? fieldOf(seen[0]!, name.toLowerCase()) === value : true
    // Names and form of an echo are the service's own; the value has to be in it.
    if (!arrived || (deployment.echoes && !first.body.includes(value))) {
      return broken(`${words}; the service did not receive ${name}: ${value}`)
    }
  }
  return spoiled(deployment, observation) ?? held(words)
}

function isServed({ servedStatus, otherStatuses = [] }: Deployment, status: number): boolean {
  return status === servedStatus || otherStatuses.includes(status) || (status >= 200 && status < 300)
}

/** What others got for their ordinary requests, if that was not their own answers. */
function spoiled(deployment: Deployment, { after, others, ended, probe }: Observation): Finding | undefined {
  if (!ended && after.length > 1) return broken(`${after.length} answers for the next request on the connection`)
  const own = (answer: Answer | undefined, place: string) => {
    if (!answer || answer.status >= 500 || answer.status === 0) return false
    if (!deployment.admits) return true
    return !deployment.echoes || answer.body.includes(`${probe}-${place}`)
  }
  if (after.length > 0 && !own(after[0], 'here')) {
    return broken(`the next request on the connection was answered with ${after[0]!.status}, not as its own`)
  }
  if (others.length !== 1 || !own(others[0], 'there')) {
    return broken(
      `a request of somebody else was answered with ${others.map(({ status }) => status).join(', ') || 'nothing'}, not as its own`,
    )
  }
  return undefined
}

function differenceOf(deployment: Deployment, seen: RecordedRequest, meant: Meant): string | undefined {
  if (seen.malformed !== undefined) return `what was forwarded is malformed: ${seen.malformed}`
  for (const name of ['method', 'target', 'body'] as const) {
    if (seen[name] !== meant[name]) {
      return `the ${name} arrived as ${JSON.stringify(seen[name].slice(0, 80))}, not as ${JSON.stringify(meant[name].slice(0, 80))}`
    }
  }
  if (fieldOf(seen, 'host') !== deployment.host) return `Host arrived as ${fieldOf(seen, 'host')}`
  const { sub } = deployment.claims ?? {}
  if (deployment.guarded && typeof sub === 'string' && fieldOf(seen, 'x-user-id') !== sub) {
    return `X-User-Id arrived as ${fieldOf(seen, 'x-user-id')}`
  }
  return undefined
}

function describe({ answers, ended }: Observation): string {
  const statuses = answers.map(({ status }) => (status === 0 ? 'bytes that are no HTTP' : String(status))).join(', ')
  return `${statuses || 'no answer'}${ended ? ', end of the connection' : ''}`
}

function describeSeen(seen: RecordedRequest[] | undefined): string | undefined {
  if (!seen || seen.length === 0) return undefined
  return seen.map(({ method, target, malformed }) => malformed ?? `${method} ${target}`).join(' and ')
}
