import { randomUUID } from 'node:crypto'
import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import { type FastifyInstance, fastify, LogController } from 'fastify'
import packageJson from '../package.json' with { type: 'json' }
import type { Log } from '../shared/log.ts'
import type { Metrics } from '../shared/metrics.ts'
import { addOperationRoutes, type Operations } from '../shared/operations.ts'
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
import { createUseCases, type Parts, type Rules } from './use-cases.ts'

/** What configuration decides of the server itself. */
export interface ServerRules extends Rules {
  secureCookie: boolean
  corsOrigins: readonly string[]
  /** Addresses and networks whose X-Forwarded-For counts. */
  trustedProxies: readonly string[]
}

/** What the server stands on. */
export interface ServerParts extends Parts {
  feed: RevocationRoutes
  ready: Operations['ready']
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
