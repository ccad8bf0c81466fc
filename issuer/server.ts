import { randomUUID } from 'node:crypto'
import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import { type FastifyInstance, fastify, LogController } from 'fastify'
import packageJson from '../package.json' with { type: 'json' }
import type { Clock } from '../shared/clock.ts'
import type { Log } from '../shared/log.ts'
import type { Metrics } from '../shared/metrics.ts'
import { addOperationRoutes, type Operations } from '../shared/operations.ts'
import type { SecurityEvent } from '../shared/security-event.ts'
import { createAuthenticate } from './domain/authenticate.ts'
import { createIssueTokens, type ProfileClaim } from './domain/issue-tokens.ts'
import type { KeySet } from './domain/key-set.ts'
import { createLogin } from './domain/login.ts'
import { createLogout } from './domain/logout.ts'
import { createOwnSessions } from './domain/own-sessions.ts'
import type { Audit, Ledger, PasswordHasher, Publisher, Sessions, Users } from './domain/ports.ts'
import { createRefresh } from './domain/refresh.ts'
import type { MacKey } from './domain/refresh-token.ts'
import { createRegister } from './domain/register.ts'
import { createRevoke } from './domain/revoke.ts'
import { createStartSession } from './domain/start-session.ts'
import { addJsonParser, BODY_LIMIT } from './http/json-body.ts'
import { addOpenApi } from './http/open-api.ts'
import { addOriginCheck } from './http/origin-check.ts'
import { addNotFound, answerError, answerUnreadable } from './http/problems.ts'
import { createRefreshCookie } from './http/refresh-cookie.ts'
import { addRequestLog } from './http/request-log.ts'
import { addAuthRoutes } from './http/routes/auth.ts'
import { addRevocationRoutes, type RevocationRoutes } from './http/routes/revocations.ts'
import { addSessionRoutes } from './http/routes/sessions.ts'
import { addUserRoutes } from './http/routes/users.ts'
import { addWellKnownRoutes } from './http/routes/well-known.ts'
import { createSendTokens } from './http/token-answer.ts'

/** What configuration decides. Durations are in milliseconds unless named otherwise. */
export interface ServerRules {
  issuer: string
  audience: readonly string[]
  accessTokenTtlMs: number
  profileClaims: readonly ProfileClaim[]
  refreshTtlMs: number
  idleMs: number
  publishTimeoutMs: number
  secureCookie: boolean
  corsOrigins: readonly string[]
  /** Addresses and networks whose X-Forwarded-For counts. */
  trustedProxies: readonly string[]
}

/** What the server stands on. */
export interface ServerParts {
  users: Users
  sessions: Sessions
  ledger: Ledger
  publisher: Publisher
  hasher: PasswordHasher
  audit: Audit
  keySet: KeySet
  macKeys: readonly MacKey[]
  sign(event: SecurityEvent): string
  feed: RevocationRoutes
  ready: Operations['ready']
  /** Which issuer process this is. */
  instance: string
  clock: Clock
  log: Log
  metrics: Metrics
}

/** The whole issuer over HTTP: the use cases, then the hooks in the order in which a request meets them, then routes. */
export async function createServer(parts: ServerParts, rules: ServerRules): Promise<FastifyInstance> {
  const { clock, metrics, log } = parts
  const useCases = createUseCases(parts, rules)
  const refreshCookie = createRefreshCookie(rules.secureCookie, clock)
  const sendTokens = createSendTokens(refreshCookie, clock)

  const app = createApp(log, rules)
  addRequestLog(app, metrics)
  await app.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
  })
  if (rules.corsOrigins.length > 0) {
    await app.register(cors, {
      origin: [...rules.corsOrigins],
      credentials: true,
      methods: ['GET', 'POST', 'PUT', 'DELETE'],
      exposedHeaders: ['authorization', 'retry-after', 'x-request-id'],
      maxAge: 600,
    })
  }
  addNotFound(app)
  addOriginCheck(app, new Set([new URL(rules.issuer).origin, ...rules.corsOrigins]))
  await app.register(cookie)
  addJsonParser(app)
  app.setErrorHandler(answerError)
  app.addHook('onSend', async (_request, reply) => {
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
  })

  await addOpenApi(app, rules.issuer, packageJson.version)
  addAuthRoutes(app, { ...useCases, cookie: refreshCookie, sendTokens, metrics })
  addSessionRoutes(app, { ...useCases, cookie: refreshCookie })
  addUserRoutes(app, useCases)
  addWellKnownRoutes(app, { keySet: parts.keySet, issuer: rules.issuer })
  addRevocationRoutes(app, parts.feed)
  addOperationRoutes(app, { metrics, ready: parts.ready })
  return app
}

function createUseCases(parts: ServerParts, rules: ServerRules) {
  const lifetimeS = rules.accessTokenTtlMs / 1000
  const authenticate = createAuthenticate(parts, rules)
  const issueTokens = createIssueTokens(parts, { ...rules, lifetimeS })
  const startSession = createStartSession({ ...parts, issueTokens }, rules)
  const revoke = createRevoke(parts, { ...rules, lifetimeS })
  return {
    authenticate,
    register: createRegister({ ...parts, startSession }),
    login: createLogin({ ...parts, startSession }),
    refresh: createRefresh({ ...parts, revoke, issueTokens }, rules.idleMs),
    logout: createLogout({ ...parts, authenticate, revoke }),
    ownSessions: createOwnSessions({ ...parts, revoke }),
  }
}

function createApp(log: Log, { trustedProxies }: ServerRules): FastifyInstance {
  return fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    bodyLimit: BODY_LIMIT,
    trustProxy: trustedProxies.length > 0 ? [...trustedProxies] : false,
    // A request that dribbles in holds a connection, not more; the whole of it has to be here within this time.
    requestTimeout: 20_000,
    http: { headersTimeout: 10_000, connectionsCheckingInterval: 5000 },
    keepAliveTimeout: 72_000,
    // What comes on a kept-alive connection while the server goes down is still answered.
    return503OnClosing: false,
    routerOptions: { maxParamLength: 128 },
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false, allErrors: true } },
    frameworkErrors: answerError,
    clientErrorHandler: answerUnreadable,
  }) as unknown as FastifyInstance
}
