import type { Upstream } from './upstream.ts'

/** What a route asks of the client: nothing, a valid token, or a valid token if there is one. */
export type Access = 'public' | 'required' | 'optional'

/** What happens when it can't be known whether a token was revoked: refuse with 503, or serve, count and log. */
export type StalenessPolicy = 'closed' | 'open'

/** A claim that has to be there: equal to the value, or, when the claim is a list, containing it. */
export type ClaimRule = { claim: string; equals: string | number | boolean }

/** One rule of the route table. The first that matches a request decides. */
export interface Route {
  /** For logs and metrics. */
  name: string
  /** Path pattern: literal segments, `*` for one segment, a final `**` for the rest (also none). */
  path: string
  /** Upper case; empty for every method. */
  methods: readonly string[]
  access: Access
  /** At least one of these roles; empty asks for none. */
  roles: readonly string[]
  /** All of these scopes. */
  scopes: readonly string[]
  claims: readonly ClaimRule[]
  /** Whether the e-mail address has to be verified. */
  verifiedEmail: boolean
  staleness: StalenessPolicy
  /** The service that gets the request; `undefined`: the one that is behind the sidecar by default. */
  upstream: Upstream | undefined
  /** How long the upstream may take to begin its answer: milliseconds. */
  timeoutMs: number
  /** The largest request body: bytes. */
  bodyLimit: number
}

/** What holds where nothing is said: every path needs a valid token. */
export const DEFAULT_ROUTE: Route = {
  name: 'default',
  path: '/**',
  methods: [],
  access: 'required',
  roles: [],
  scopes: [],
  claims: [],
  verifiedEmail: false,
  staleness: 'closed',
  upstream: undefined,
  timeoutMs: 30_000,
  bodyLimit: 16 * 1024 * 1024,
}
