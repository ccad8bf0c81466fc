import { readFile } from 'node:fs/promises'
import { Agent } from 'undici'
import { judgeWithoutSignature } from '../shared/access-token.ts'
import { systemClock } from '../shared/clock.ts'
import { MAX_JWKS_BYTES, parseJwks } from '../shared/jwks.ts'
import type { VerificationKey } from '../shared/jws.ts'
import { createLifecycle, pause } from '../shared/lifecycle.ts'
import { createLog } from '../shared/log.ts'
import { createMetrics } from '../shared/metrics.ts'
import { readSettings, type SettingValues } from '../shared/settings.ts'
import type { DecisionState } from './domain/decide.ts'
import { type Explanation, explain, type Known } from './domain/explain.ts'
import { createFreshness } from './domain/freshness.ts'
import { createKeyRing, type KeyRing } from './domain/key-ring.ts'
import { createRevocationList } from './domain/revocation-list.ts'
import type { Route } from './domain/route.ts'
import { createRouteTable } from './domain/routes.ts'
import { createVerifier } from './domain/verify.ts'
import { createIntake } from './feeds/intake.ts'
import { createIssuerStream } from './feeds/issuer-stream.ts'
import { downloadKeys } from './feeds/jwks.ts'
import { SIDECAR_SETTINGS } from './settings.ts'

export interface ExplainOptions {
  routes: readonly Route[]
  method: string
  /** A path with its query, or an `http` address, of which only that counts. */
  url: string
  token: string | undefined
  /** Takes the place of ISSUER_URL. */
  issuer: string | undefined
  /** A file with the issuer's key set. */
  jwksFile: string | undefined
  env: NodeJS.ProcessEnv
}

export interface ExplainedRequest extends Explanation {
  /** The request target, as it was decided on. */
  target: string
  /** What could not be had, a line each. */
  notes: string[]
}

const FEED_DEADLINE_MS = 15_000
const STREAM_IDLE_MS = 10_000

const { ISSUER_URL, ISSUER_INTERNAL_URL, ISSUER_CA, AUDIENCE, TOKEN_ALGORITHMS, FEED_TOKEN, MAX_STALENESS } =
  SIDECAR_SETTINGS
const SETTINGS = { ISSUER_URL, ISSUER_INTERNAL_URL, ISSUER_CA, AUDIENCE, TOKEN_ALGORITHMS, FEED_TOKEN, MAX_STALENESS }
type Settings = SettingValues<typeof SETTINGS>

/**
 * Says how a sidecar with these routes and the settings of `env` would decide. Keys come from a file, or from the issuer
 * if one is named; revocations from the issuer's feed if `env` names it and has its FEED_TOKEN.
 * @throws SettingsError for settings that are wrong, Error for a key set that can't be used
 */
export async function explainRequest(options: ExplainOptions): Promise<ExplainedRequest> {
  const { routes, method, url, token, env } = options
  const settings = readSettings(SETTINGS, withIssuer(env, options.issuer))
  const target = targetOf(url)
  const notes: string[] = []
  const ring = createKeyRing({ maxStaleMs: Number.POSITIVE_INFINITY })
  const keys = token === undefined ? 'none' : await findKeys(options, settings, ring, notes)

  const clock = systemClock
  const revocations = createRevocationList()
  const freshness = createFreshness({ maxStalenessMs: settings.MAX_STALENESS, clock })
  // The credential of the feed is for the issuer it was given for, not for one named on the command line.
  const hasFeed = keys === 'issuer' && options.issuer === undefined && settings.FEED_TOKEN !== undefined
  const parts = { ring, revocations, freshness, clock }
  const known: Known = { keys, revocations: hasFeed && (await readFeed(settings, parts, notes)) }
  // What is not known is told as such; the steps after it are to be seen all the same.
  if (!known.revocations) freshness.advance('assumed', clock.now())

  const rules = {
    keyFor: ring.keyFor,
    algorithms: settings.TOKEN_ALGORITHMS,
    issuer: settings.ISSUER_URL,
    audience: settings.AUDIENCE,
  }
  const verifier: DecisionState['verifier'] =
    keys === 'none'
      ? {
          verify: (text, nowMs) => judgeWithoutSignature(text, rules, nowMs),
          counts: { hits: 0, misses: 0, size: 0 },
        }
      : createVerifier({ rules, cacheSize: 0 })
  const rawHeaders = token === undefined ? [] : ['Authorization', `Bearer ${token}`]
  const state: DecisionState = { routes: createRouteTable(routes), verifier, revocations, freshness }
  return { ...explain({ method, target, rawHeaders }, state, known, clock.now()), target, notes }
}

/** Byte for byte what a client would send that changes nothing: a URL parser would resolve `..` and more. */
function targetOf(url: string): string {
  const [whole = '', rest = ''] = /^https?:\/\/[^/?#]*(.*)$/is.exec(url) ?? []
  if (whole === '') return url
  return rest.startsWith('/') ? rest : `/${rest}`
}

function withIssuer(env: NodeJS.ProcessEnv, issuer: string | undefined): NodeJS.ProcessEnv {
  if (issuer === undefined) return env
  const { ISSUER_URL_FILE: _, ISSUER_INTERNAL_URL: __, ISSUER_INTERNAL_URL_FILE: ___, ...rest } = env
  return { ...rest, ISSUER_URL: issuer }
}

async function findKeys(
  { jwksFile, issuer, env }: ExplainOptions,
  settings: Settings,
  ring: KeyRing,
  notes: string[],
): Promise<Known['keys']> {
  if (jwksFile !== undefined) {
    ring.replace(await readKeyFile(jwksFile), systemClock.now())
    return 'file'
  }
  const isNamed = [env.ISSUER_URL, env.ISSUER_URL_FILE, env.ISSUER_INTERNAL_URL, env.ISSUER_INTERNAL_URL_FILE].some(
    Boolean,
  )
  if (issuer === undefined && !isNamed) {
    notes.push('no keys: name the issuer (ISSUER_URL, --issuer) or a file with its key set (--jwks)')
    return 'none'
  }
  const url = `${settings.ISSUER_INTERNAL_URL ?? settings.ISSUER_URL}/.well-known/jwks.json`
  const agent = new Agent({ connections: 1, connect: { ca: settings.ISSUER_CA } })
  try {
    ring.replace(await downloadKeys(url, agent, new AbortController().signal), systemClock.now())
    return 'issuer'
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    notes.push(`no keys: ${url} cannot be fetched (${code ?? message})`)
    return 'none'
  } finally {
    await agent.destroy()
  }
}

async function readKeyFile(path: string): Promise<VerificationKey[]> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new Error(`--jwks: ${path} cannot be read (${error.code})`)
  })
  const keys = text.length > MAX_JWKS_BYTES ? undefined : parseJwks(parseJson(text))
  if (!keys || keys.length === 0) throw new Error(`--jwks: ${path} has no key that can be used (a JWK Set, RFC 7517)`)
  return keys
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

type FeedParts = Pick<DecisionState, 'revocations' | 'freshness'> & { ring: KeyRing; clock: typeof systemClock }

/** Reads the issuer's own feed up to the instant at which it is asked. @returns whether that succeeded */
async function readFeed(settings: Settings, { ring, revocations, freshness, clock }: FeedParts, notes: string[]) {
  const { ISSUER_URL: issuer, ISSUER_CA: ca, MAX_STALENESS: maxStalenessMs } = settings
  const url = `${settings.ISSUER_INTERNAL_URL ?? issuer}/revocations`
  const askedAt = clock.now()
  let proofs = 0
  const complete = Promise.withResolvers<void>()
  const failed = Promise.withResolvers<string>()
  // It would try on for ever; what it warns of first is why it cannot be read.
  const log = createLog('check', 'warn', { write: (line: string) => failed.resolve(reasonOf(line)) })
  const lifecycle = createLifecycle(log)
  const metrics = createMetrics()
  const intake = createIntake({ ring, revocations, onRevocation() {}, issuer, maxStalenessMs, clock, log, metrics })
  const stream = createIssuerStream({
    url,
    ca,
    feedToken: settings.FEED_TOKEN?.[0] ?? '',
    intake,
    // They were fetched this very moment.
    keys: { settle: async (kid) => (ring.keyFor(kid) ? 'known' : 'absent') },
    onProgress(completeUntilMs) {
      // A snapshot may be older than the question, for readers share one. Of the heartbeats behind it the second was made
      // after the question, whatever the issuer's clock says.
      const isAnswer = completeUntilMs >= askedAt || ++proofs >= 3
      if (freshness.advance('stream', completeUntilMs) && freshness.isFresh(clock.now()) && isAnswer) complete.resolve()
    },
    idleMs: STREAM_IDLE_MS,
    log,
    lifecycle,
  })
  stream.open()
  const late = pause(FEED_DEADLINE_MS, lifecycle.signal).then(() => `not read within ${FEED_DEADLINE_MS / 1000} s`)
  const problem = await Promise.race([complete.promise, failed.promise, late])
  await lifecycle.close()
  if (problem !== undefined) notes.push(`no revocations: ${url}: ${problem}`)
  return problem === undefined
}

function reasonOf(line: string): string {
  const { msg, err } = JSON.parse(line) as { msg: string; err?: { message?: string } }
  return err?.message || msg
}
