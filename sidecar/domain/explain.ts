import type { TokenRefusal } from '../../shared/access-token.ts'
import { type BearerRefusal, readBearer } from '../../shared/bearer.ts'
import { PROBLEMS } from '../../shared/problem.ts'
import { duration } from '../../shared/settings.ts'
import { type Decision, type DecisionState, decide, type Identity, type RequestFacts } from './decide.ts'
import type { Objection } from './policy.ts'
import { DEFAULT_ROUTE, type Route } from './route.ts'
import { asksText, servedText } from './route-text.ts'
import type { PassedOver } from './routes.ts'
import { MAX_TARGET_BYTES, METHODS, readTarget, type TargetRefusal } from './target.ts'

/** The steps of `decide`, in their order. */
export const STEPS = ['target', 'route', 'bearer', 'verify', 'revoked?', 'fresh?', 'policy'] as const
export type StepName = (typeof STEPS)[number]

export interface Step {
  name: StepName
  /** `unknown`: could not be looked at here; `skipped`: the decision did not get so far or did not need it. */
  outcome: 'passed' | 'failed' | 'unknown' | 'skipped'
  /** What was found, in words; never the token. */
  found: string
}

/** What the state that is decided on knows. */
export interface Known {
  /** Where keys are from; `none`: the verifier of the state does not look at signatures. */
  keys: 'issuer' | 'file' | 'none'
  /** Whether the revocations are those of a feed. */
  revocations: boolean
}

export interface Explanation {
  /** `undecided`: all but the signature, which nobody looked at, speaks for it. */
  verdict: 'allowed' | 'refused' | 'undecided'
  decision: Decision
  /** The HTTP status of a refusal. */
  status: number | undefined
  steps: Step[]
  /** The rules before the one that decides. */
  passedOver: PassedOver[]
}

type Reason =
  | TargetRefusal
  | BearerRefusal
  | TokenRefusal
  | Objection
  | 'token_missing'
  | 'key_absent'
  | 'token_revoked'
  | 'revocations_stale'

/** Where a decision with this reason was made, and what it means. */
const REASONS: Record<Reason, [at: StepName, meaning: string]> = {
  method: ['target', `the method is none of ${METHODS.join(', ')}, in upper case`],
  target_form: ['target', 'a target begins with /'],
  target_length: ['target', `the target is longer than ${MAX_TARGET_BYTES} bytes`],
  target_characters: ['target', 'a space, a #, a control character, or one beyond ASCII that is not percent-encoded'],
  path_characters: ['target', 'a character that servers read differently, such as ; or \\'],
  path_segments: ['target', 'an empty segment, one of dots alone, or one that begins or ends with a space'],
  path_escapes: ['target', 'an escape that servers read differently (%2F, %2E, %25xx) or that is malformed'],
  token_missing: ['bearer', 'no token'],
  authorization_repeated: ['bearer', 'more than one Authorization header'],
  authorization_scheme: ['bearer', 'another scheme than Bearer'],
  authorization_malformed: ['bearer', 'empty, or more than one word: the token alone is meant, without "Bearer"'],
  token_too_long: ['bearer', 'longer than a token may be'],
  token_malformed: ['verify', 'not a signed JWT of an accepted algorithm (TOKEN_ALGORITHMS)'],
  token_type: ['verify', 'not an access token (typ is not at+jwt)'],
  key_unknown: ['verify', 'its key is not in the key set; 401 if the issuer does not have it either'],
  key_absent: ['verify', 'the issuer has no such key'],
  signature_invalid: ['verify', 'the signature is wrong'],
  claims_invalid: ['verify', 'a claim is missing or of the wrong type'],
  issuer_mismatch: ['verify', 'its iss is not ISSUER_URL'],
  audience_mismatch: ['verify', 'none of its audiences is accepted (AUDIENCE)'],
  token_expired: ['verify', 'it has expired'],
  token_not_yet_valid: ['verify', 'it was issued in the future; a clock is wrong'],
  token_revoked: ['revoked?', 'its session, its user or its key was revoked'],
  revocations_stale: ['fresh?', 'what was revoked is not known up to the bound, and the route says staleness: closed'],
  role_missing: ['policy', 'it has none of the roles'],
  scope_missing: ['policy', 'it does not have all the scopes'],
  claim_mismatch: ['policy', 'a claim is missing or another'],
  email_unverified: ['policy', 'the e-mail address is not verified'],
}

/**
 * Decides about a request as `decide` does, and says how it came about: the verdict is its own, and the step that failed
 * is the one that its reason names.
 * @param nowMs the present: milliseconds
 */
export function explain(request: RequestFacts, state: DecisionState, known: Known, nowMs: number): Explanation {
  const decision = withKeysAsked(decide(request, state, nowMs), known)
  const [failedAt, meaning] = decision.allow ? [] : REASONS[decision.reason as Reason]
  const findings = createFindings(request, state, known, decision, nowMs)
  const reached = failedAt === undefined ? STEPS.length : STEPS.indexOf(failedAt)
  const steps = STEPS.map((name, i): Step => {
    if (i === reached)
      return { name, outcome: 'failed', found: [meaning, findings.more(name)].filter(Boolean).join('; ') }
    return i > reached ? { name, outcome: 'skipped', found: 'not reached' } : { name, ...findings.of(name) }
  })
  const target = readTarget(request.method, request.target)
  return {
    verdict: verdictOf(decision, known),
    decision,
    status: decision.allow ? undefined : PROBLEMS[decision.code][0],
    steps,
    passedOver: target.ok ? state.routes.passedOver(request.method, target.path) : [],
  }
}

/** As the guard does when the issuer was asked for the key: it has none, so the token is none of its own. */
function withKeysAsked(decision: Decision, { keys }: Known): Decision {
  if (decision.allow || decision.missingKid === undefined || keys !== 'issuer') return decision
  return { ...decision, code: 'token_invalid', reason: 'key_absent' }
}

function verdictOf(decision: Decision, { keys }: Known): Explanation['verdict'] {
  if (!decision.allow) return 'refused'
  return decision.identity && keys === 'none' ? 'undecided' : 'allowed'
}

type Finding = Omit<Step, 'name'>

const passed = (found: string): Finding => ({ outcome: 'passed', found })
const unknown = (found: string): Finding => ({ outcome: 'unknown', found })
const skipped = (found: string): Finding => ({ outcome: 'skipped', found })

/** What is to be said of the steps that did not fail, and what more of the one that did. */
function createFindings(request: RequestFacts, state: DecisionState, known: Known, decision: Decision, nowMs: number) {
  const { route } = decision
  const bearer = readBearer(request.rawHeaders)
  const token = bearer.ok ? bearer.token : undefined
  const verified = token === undefined ? undefined : state.verifier.verify(token, nowMs)
  const identity: Identity | undefined = verified?.ok ? verified : undefined

  const withToken = (finding: (who: Identity, at: Route) => Finding): Finding => {
    if (route?.access === 'public') return skipped('the route is public')
    if (identity && route) return finding(identity, route)
    return skipped(token === undefined ? 'no token' : 'its key was revoked')
  }

  const findings: Record<StepName, () => Finding> = {
    target: () => {
      const target = readTarget(request.method, request.target)
      return passed(`${request.method} ${target.ok ? target.path : ''}`)
    },
    route: () => passed(route ? routeText(route) : ''),
    bearer: () => {
      if (route?.access === 'public') return skipped('the route is public: a token is not looked at')
      return passed(token === undefined ? 'no token, and the route does without one' : 'one token')
    },
    verify: () =>
      withToken(({ claims, kid }) => {
        const rest = `issuer, audience and claims right, ${lifetimeText(claims.exp, nowMs)}`
        if (known.keys === 'none') return unknown(`signature not checked, for there are no keys; ${rest}`)
        return passed(`signed by key ${kid}; ${rest}`)
      }),
    'revoked?': () =>
      withToken(() => (known.revocations ? passed('no') : unknown('not known here: a running sidecar knows'))),
    'fresh?': () =>
      withToken((_, { staleness }) => {
        if (!known.revocations) {
          const otherwise = staleness === 'open' ? 'served, counted and logged' : '503'
          return unknown(`not known here; where a sidecar cannot know: ${otherwise} (staleness: ${staleness})`)
        }
        const age = `revocations are known up to ${Math.round(state.freshness.ageMs(nowMs))} ms ago`
        return passed(decision.allow && decision.stale ? 'no, but the route says staleness: open' : age)
      }),
    policy: () =>
      withToken((_, at) => {
        const asks = asksText(at)
        if (asks === '') return passed('the route asks for nothing more')
        return known.keys === 'none' ? unknown(`${asks}: so the token says, unchecked`) : passed(asks)
      }),
  }
  return {
    of: (name: StepName): Finding => findings[name](),
    more(name: StepName): string {
      if (name === 'policy' && route && identity) {
        const { roles, scope } = identity.claims
        const has = `asked for: ${asksText(route)}; the token has roles ${roles.join(', ') || 'none'}, scope ${scope || 'none'}`
        return known.keys === 'none' ? `${has}; the signature was not checked: 401 if it is wrong` : has
      }
      if (name === 'bearer' && route) return routeNeeds(route)
      return name === 'verify' && known.keys === 'none' ? 'the signature was not even checked' : ''
    },
  }
}

function routeNeeds({ access }: Route): string {
  return access === 'required' ? 'the route needs a valid one' : 'the route takes none or a valid one'
}

function routeText(route: Route): string {
  if (route === DEFAULT_ROUTE) return 'no rule matches, so a valid token is needed'
  const { name, path, methods, access } = route
  const pattern = `${methods.length === 0 ? 'any method' : methods.join(', ')} ${path}`
  const served = servedText(route)
  return `${name}${name.endsWith(path) ? '' : ` (${pattern})`}, access: ${access}${served && `, ${served}`}`
}

const lifetime = duration('0s', '1d')

function lifetimeText(exp: number, nowMs: number): string {
  const leftS = Math.floor(exp - nowMs / 1000)
  return leftS > 0 ? `expires in ${lifetime.show?.(leftS * 1000)}` : 'expired, within the leeway'
}
