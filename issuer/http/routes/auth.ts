import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { readBearer } from '../../../shared/bearer.ts'
import { counter, type Metrics } from '../../../shared/metrics.ts'
import type { Login } from '../../domain/login.ts'
import type { Logout } from '../../domain/logout.ts'
import type { Refresh } from '../../domain/refresh.ts'
import type { Register } from '../../domain/register.ts'
import type { Ended } from '../../domain/revoke.ts'
import type { ClientFacts } from '../../domain/start-session.ts'
import { publicUser } from '../../domain/user.ts'
import { clientAddress } from '../client-address.ts'
import { sendProblem } from '../problems.ts'
import type { RefreshCookie } from '../refresh-cookie.ts'
import {
  LoginBody,
  LogoutAnswer,
  LogoutBody,
  problems,
  RefreshBody,
  RegisterBody,
  TokenAnswer,
  UserAnswer,
} from '../schemas.ts'
import { MessageAnswer } from '../schemas-links.ts'
import type { SendTokens } from '../token-answer.ts'

export interface AuthRoutes {
  register: Register
  login: Login
  refresh: Refresh
  logout: Logout
  cookie: RefreshCookie
  sendTokens: SendTokens
  metrics: Metrics
}

type WithBody<Body> = FastifyRequest<{ Body: Body }>
type RefreshRequest = { Body: Static<typeof RefreshBody> }
type LogoutRequest = { Body: Static<typeof LogoutBody> }

/** Registration, login, refresh and logout, each under its own name and those of older clients. */
export function addAuthRoutes(app: FastifyInstance, routes: AuthRoutes): void {
  const count = createCounters(routes.metrics)
  addRegister(app, routes)
  addLogin(app, routes, count)
  addRefresh(app, routes, count)
  addLogout(app, routes)
}

const tags = ['auth']

function addRegister(app: FastifyInstance, { register, sendTokens }: AuthRoutes): void {
  const handler = async (request: WithBody<Static<typeof RegisterBody>>, reply: FastifyReply) => {
    const { email, username, password, login = false, transport } = request.body
    if (transport !== undefined && !login) {
      return sendProblem(reply, 'invalid_request', { detail: 'transport has a meaning only with "login": true' })
    }
    const result = await register({ email, username, password, login, client: clientFacts(request) })
    if (!result.ok) return sendProblem(reply, result.code, 'errors' in result ? { errors: result.errors } : {})
    if (!result.user) {
      // The same for a new address and one that is taken.
      return reply.code(202).send({ message: 'a mail to this address says how to go on' })
    }
    if (result.tokens) return sendTokens(reply, 201, result.tokens, transport ?? 'cookie', result.user)
    return reply.code(201).send(publicUser(result.user))
  }
  const summary = 'Create a user; with "login" a session too, answered as a login is'
  const created = { description: 'The user, or tokens and user', anyOf: [UserAnswer, TokenAnswer] }
  const pending = { description: 'Where addresses have to be verified: a mail says more', ...MessageAnswer }
  const response = { 201: created, 202: pending, ...problems }
  const schema = { tags, summary, body: RegisterBody, response }
  app.post('/auth/register', { schema }, handler)
  for (const alias of ['/register', '/users', '/users/']) app.post(alias, { schema: hidden(schema) }, handler)
}

function addLogin(app: FastifyInstance, { login, sendTokens }: AuthRoutes, count: Counters): void {
  const handler = async (request: WithBody<Static<typeof LoginBody>>, reply: FastifyReply) => {
    const { email, username, password, transport = 'cookie' } = request.body
    const name =
      email !== undefined && username === undefined
        ? { email }
        : username !== undefined && email === undefined
          ? { username }
          : undefined
    if (!name) return sendProblem(reply, 'invalid_request', { detail: 'either email or username is needed' })
    const result = await login({ login: name, password, client: clientFacts(request) })
    count.logins.inc({ outcome: result.ok ? 'ok' : 'refused' })
    if (!result.ok && result.code === 'too_many_requests') reply.header('retry-after', result.retryAfterS)
    if (!result.ok) return sendProblem(reply, result.code)
    return sendTokens(reply, 200, result.tokens, transport, result.user)
  }
  const schema = {
    tags,
    summary: 'Start a session',
    body: LoginBody,
    response: { 200: TokenAnswer, ...problems },
  }
  app.post('/auth/login', { schema }, handler)
  app.post('/login', { schema: hidden(schema) }, handler)
}

function addRefresh(app: FastifyInstance, { refresh, cookie, sendTokens }: AuthRoutes, count: Counters): void {
  const handler = async (request: FastifyRequest<RefreshRequest>, reply: FastifyReply) => {
    const credential = cookie.read(request, request.body.refresh_token)
    if (!credential.ok) return sendProblem(reply, 'credentials_conflict')
    if (credential.token === undefined) return sendProblem(reply, 'refresh_token_invalid')
    // A script could otherwise read what the cookie keeps from it.
    if (request.body.transport !== undefined && request.body.transport !== credential.transport) {
      return sendProblem(reply, 'invalid_request', { detail: 'the answer goes the way the refresh token came' })
    }
    const result = await refresh(credential.token, clientAddress(request))
    count.refreshes.inc({ outcome: result.outcome })
    if (!result.ok) {
      request.log.info({ reason: result.outcome }, 'a refresh token was refused')
      return sendProblem(reply, result.code)
    }
    return sendTokens(reply, 200, result.tokens, credential.transport)
  }
  const schema = {
    tags,
    summary: 'Rotate the refresh token and get a new access token',
    body: RefreshBody,
    response: { 200: TokenAnswer, ...problems },
  }
  app.post<RefreshRequest>('/auth/refresh', { schema, preValidation: emptyBody }, handler)
  app.post<RefreshRequest>('/access_token', { schema: hidden(schema), preValidation: emptyBody }, handler)
}

function addLogout(app: FastifyInstance, { logout, cookie }: AuthRoutes): void {
  const handler = async (request: FastifyRequest<LogoutRequest>, reply: FastifyReply) => {
    const bearer = readBearer(request.raw.rawHeaders)
    if (!bearer.ok) return sendProblem(reply, 'token_invalid')
    const credential = cookie.read(request, request.body.refresh_token)
    if (!credential.ok) return sendProblem(reply, 'credentials_conflict')
    const result = await logout({
      accessToken: bearer.token,
      refreshToken: credential.token,
      all: request.body.all ?? false,
      address: clientAddress(request),
    })
    if (!result.ok) return sendProblem(reply, result.code)
    if (credential.transport === 'cookie') cookie.clear(reply)
    return sendEnded(reply, result.ended, request.body.all ? 'all sessions have ended' : 'the session has ended')
  }
  const schema = {
    tags,
    summary: 'End the session of the access token or refresh token; repeating it is harmless',
    body: LogoutBody,
    response: { 200: LogoutAnswer, 202: LogoutAnswer, ...problems },
  }
  app.post<LogoutRequest>('/auth/logout', { schema, preValidation: emptyBody }, handler)
  app.delete<LogoutRequest>('/logout', { schema: hidden(schema), preValidation: emptyBody }, handler)
}

/** 202 says: it is certain to happen, and the services do not all know of it yet. */
export function sendEnded(reply: FastifyReply, { sessions, propagated }: Ended, message: string): FastifyReply {
  return reply.code(propagated ? 200 : 202).send({ message, invalidated_tokens: sessions, propagated })
}

/** Who is asking. */
export function clientFacts(request: FastifyRequest): ClientFacts {
  return { userAgent: request.headers['user-agent'] ?? null, address: clientAddress(request) }
}

async function emptyBody(request: FastifyRequest): Promise<void> {
  if (request.body === undefined) request.body = {}
}

function hidden<S extends object>(schema: S): S & { hide: true } {
  return { ...schema, hide: true }
}

type Counters = ReturnType<typeof createCounters>

function createCounters(metrics: Metrics) {
  return {
    logins: counter(metrics, 'logins_total', 'Logins by outcome.', ['outcome']),
    refreshes: counter(metrics, 'refreshes_total', 'Refreshes by what became of the token.', ['outcome']),
  }
}
