import { randomUUID } from 'node:crypto'
import type { Server } from 'node:http'
import type { SecureContextOptions } from 'node:tls'
import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
import { type FastifyInstance, fastify, LogController } from 'fastify'
import packageJson from '../package.json' with { type: 'json' }
import { spareUnsentAnswers } from '../shared/close-server.ts'
import type { Log } from '../shared/log.ts'
import type { Metrics } from '../shared/metrics.ts'
import { addOperationRoutes, type Operations } from '../shared/operations.ts'
import { giveUpStalledClients } from '../shared/stalled-clients.ts'
import type { RateLimits } from './domain/rate-limits.ts'
import { addPermissionNames } from './http/authenticate.ts'
import { addJsonParser, BODY_LIMIT } from './http/json-body.ts'
import { addMessageChecks } from './http/message-checks.ts'
import { addOpenApi } from './http/open-api.ts'
import { addOriginCheck } from './http/origin-check.ts'
import { addNotFound, answerError, answerUnreadable } from './http/problems.ts'
import { addRateLimits } from './http/rate-limits.ts'
import { createRefreshCookie } from './http/refresh-cookie.ts'
import { addRequestLog } from './http/request-log.ts'
import { createRequestLogger } from './http/request-logger.ts'
import { addAdminClientRoutes } from './http/routes/admin-clients.ts'
import { addAdminKeyRoutes } from './http/routes/admin-keys.ts'
import { addAdminRoleRoutes } from './http/routes/admin-roles.ts'
import { addAdminUserRoutes } from './http/routes/admin-users.ts'
import { addAuthRoutes } from './http/routes/auth.ts'
import { addOAuthRoutes } from './http/routes/oauth.ts'
import { addOneTimeLinkRoutes } from './http/routes/one-time-links.ts'
import { addRevocationRoutes, type RevocationRoutes } from './http/routes/revocations.ts'
import { addSessionRoutes } from './http/routes/sessions.ts'
import { addUserRoutes } from './http/routes/users.ts'
import { addWellKnownRoutes } from './http/routes/well-known.ts'
import { addSecurityHeaders } from './http/security-headers.ts'
import { addShedding } from './http/shedding.ts'
import { createSendTokens } from './http/token-answer.ts'
import { addUnaskedInput } from './http/unasked-input.ts'
import { createUseCases, type Parts, type Rules } from './use-cases.ts'

/** What configuration decides of the server itself. */
export interface ServerRules extends Rules {
  secureCookie: boolean
  /** Whether POST /auth/token takes a user name and password. */
  passwordGrant: boolean
  corsOrigins: readonly string[]
  /** Addresses and networks whose X-Forwarded-For counts. */
  trustedProxies: readonly string[]
  rateLimits: RateLimits
  /** Certificate and key, for HTTPS. */
  tls?: SecureContextOptions | undefined
  /** How long a client may take nothing of an answer that waits for it: milliseconds. */
  stallMs?: number
}

/** What the server stands on. */
export interface ServerParts extends Parts {
  feed: RevocationRoutes
  ready: Operations['ready']
  metrics: Metrics
}

/** Unless the rules say otherwise. */
const STALL_TIMEOUT_MS = 60_000

/** The whole issuer over HTTP: the use cases, then the hooks in the order in which a request meets them, then routes. */
export async function createServer(parts: ServerParts, rules: ServerRules): Promise<FastifyInstance> {
  const { clock, metrics, log } = parts
  const useCases = createUseCases(parts, rules)
  const refreshCookie = createRefreshCookie(rules.secureCookie, clock)
  const sendTokens = createSendTokens(refreshCookie, clock)

  const app = createApp(log, rules)
  giveUpStalledClients(app.server as Server, rules.stallMs ?? STALL_TIMEOUT_MS)
  spareUnsentAnswers(app.server as Server)
  addRequestLog(app, metrics)
  addMessageChecks(app)
  await addSecurityHeaders(app)
  addOriginCheck(app, new Set([new URL(rules.issuer).origin, ...rules.corsOrigins]))
  if (rules.corsOrigins.length > 0) {
    await app.register(cors, {
      origin: [...rules.corsOrigins],
      credentials: true,
      methods: ['GET', 'POST', 'PUT', 'DELETE'],
      exposedHeaders: ['authorization', 'ratelimit', 'ratelimit-policy', 'retry-after', 'x-request-id'],
      maxAge: 600,
      // An OPTIONS that is no preflight is harmless too.
      strictPreflight: false,
    })
  }
  addNotFound(app)
  addShedding(app, parts.hasher)
  await app.register(cookie)
  addRateLimits(app, { ...parts, ...useCases, cookie: refreshCookie }, rules.rateLimits)
  addJsonParser(app)
  app.setErrorHandler(answerError)
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
    done()
  })

  addUnaskedInput(app)
  addPermissionNames(app)
  await addOpenApi(app, rules.issuer, packageJson.version, rules.passwordGrant)
  addAuthRoutes(app, { ...useCases, cookie: refreshCookie, sendTokens, metrics })
  addOneTimeLinkRoutes(app, useCases)
  addSessionRoutes(app, { ...useCases, cookie: refreshCookie })
  addUserRoutes(app, { ...useCases, cookie: refreshCookie })
  addAdminUserRoutes(app, useCases)
  addAdminRoleRoutes(app, useCases)
  addAdminClientRoutes(app, { ...useCases, clock })
  addOAuthRoutes(app, { ...useCases, metrics, passwordGrant: rules.passwordGrant })
  addAdminKeyRoutes(app, { ...useCases, keySet: parts.keySet, clock, keyRules: rules.keys })
  addWellKnownRoutes(app, { ...rules, keySet: parts.keySet, jwksMaxAgeS: rules.keys.jwksMaxAgeS })
  addRevocationRoutes(app, parts.feed)
  addOperationRoutes(app, { metrics, ready: parts.ready })
  return app
}

function createApp(log: Log, { trustedProxies, tls }: ServerRules): FastifyInstance {
  // Without a Host it is this server that answers, for Node would do so without a body.
  const reading = { headersTimeout: 10_000, connectionsCheckingInterval: 5000, requireHostHeader: false }
  return fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    childLoggerFactory: (logger, bindings, options) => createRequestLogger(() => logger.child(bindings, options)),
    bodyLimit: BODY_LIMIT,
    trustProxy: trustedProxies.length > 0 ? [...trustedProxies] : false,
    // A request that dribbles in holds a connection, not more; the whole of it has to be here within this time.
    requestTimeout: 20_000,
    ...(tls ? { https: { ...tls, ...reading, handshakeTimeout: reading.headersTimeout } } : { http: reading }),
    keepAliveTimeout: 72_000,
    // What comes on a kept-alive connection while the server goes down is still answered.
    return503OnClosing: false,
    routerOptions: { maxParamLength: 128 },
    ajv: {
      customOptions: {
        coerceTypes: false,
        removeAdditional: false,
        useDefaults: false,
        allErrors: true,
        verbose: true,
      },
    },
    frameworkErrors: answerError,
    clientErrorHandler: answerUnreadable,
  }) as unknown as FastifyInstance
}
