import type { ServerResponse } from 'node:http'
import Fastify from 'fastify'
import { test } from 'tap'
import { StoreUnavailable } from '../../../../issuer/domain/ports.ts'
import { answerError } from '../../../../issuer/http/problems.ts'
import { addRevocationRoutes } from '../../../../issuer/http/routes/revocations.ts'
import type { LedgerDigest } from '../../../../shared/revocation-digest.ts'
import { FEED_TOKEN } from '../../../helpers/event-stream.ts'

const stream = { subscribe: () => {}, close: () => {} }
const authorization = `Bearer ${FEED_TOKEN}`

function app(...feedTokens: string[]) {
  const server = Fastify()
  addRevocationRoutes(server, { stream, digest: () => ({ ok: false, code: 'overloaded' }), feedTokens })
  return server
}

test('the feed is for whoever has the credential', async (t) => {
  const server = app(FEED_TOKEN)
  const wrong = [
    undefined,
    '',
    'Bearer',
    'Bearer ',
    FEED_TOKEN,
    `Bearer ${FEED_TOKEN}x`,
    `Bearer ${FEED_TOKEN.slice(0, -1)}`,
    `bearer ${FEED_TOKEN}`,
    `Basic ${FEED_TOKEN}`,
    'Bearer undefined',
  ]
  for (const authorization of wrong) {
    const headers = authorization === undefined ? {} : { authorization }
    const response = await server.inject({ url: '/revocations', headers })
    t.equal(response.statusCode, 401, String(authorization))
    t.match(response.headers, { 'content-type': /^application\/problem\+json/, 'www-authenticate': /^Bearer/ })
    t.equal(response.json().code, authorization === undefined ? 'token_missing' : 'token_invalid')
  }
})

test('while the credential is being changed, the old one and the new one are enough, each by itself', async (t) => {
  const server = app('the new credential', FEED_TOKEN)
  const ask = async (token: string) => {
    const headers = { authorization: `Bearer ${token}` }
    return (await server.inject({ url: '/revocations/digest?cut=1', headers })).statusCode
  }
  for (const token of ['the new credential', FEED_TOKEN])
    t.equal(await ask(token), 503, 'known, and told to come again')
  for (const token of [`the new credential,${FEED_TOKEN}`, '', 'another one altogether']) t.equal(await ask(token), 401)
})

test('without a credential in the settings there is no feed', async (t) => {
  for (const authorization of ['Bearer undefined', 'Bearer ', 'Bearer x']) {
    const response = await app().inject({ url: '/revocations', headers: { authorization } })
    t.equal(response.statusCode, 404)
    t.equal(response.json().code, 'not_found')
  }
})

test('a stream has the headers that every answer has', async (t) => {
  const server = Fastify()
  server.addHook('onRequest', async (_request, reply) => void reply.header('x-content-type-options', 'nosniff'))
  const ended = { ...stream, subscribe: (response: ServerResponse) => void response.end() }
  addRevocationRoutes(server, {
    stream: ended,
    digest: () => ({ ok: false, code: 'overloaded' }),
    feedTokens: [FEED_TOKEN],
  })
  const response = await server.inject({ url: '/revocations', headers: { authorization } })
  t.equal(response.statusCode, 200)
  t.match(response.headers, { 'content-type': 'text/event-stream', 'x-content-type-options': 'nosniff' })
})

test('HEAD opens no stream', async (t) => {
  const headers = { authorization: `Bearer ${FEED_TOKEN}` }
  const response = await app(FEED_TOKEN).inject({ method: 'HEAD', url: '/revocations', headers })
  t.equal(response.statusCode, 404)
})

test('the digest is for whoever has the credential, and for nobody without one in the settings', async (t) => {
  for (const query of ['', '?cut=1', '?cut=x']) {
    const response = await app(FEED_TOKEN).inject({ url: `/revocations/digest${query}` })
    t.equal(response.statusCode, 401, query)
    t.match(response.headers, { 'content-type': /^application\/problem\+json/, 'www-authenticate': /^Bearer/ })
  }
  const off = await app().inject({ url: '/revocations/digest?cut=1', headers: { authorization } })
  t.equal(off.statusCode, 404)
})

test('the digest of a cut, or why there is none', async (t) => {
  const value: LedgerDigest = {
    window: { after: 1, until: { session: 2, user: 3, key: 4 } },
    count: 5,
    digest: '0'.repeat(32),
  }
  const server = Fastify({ ajv: { customOptions: { removeAdditional: false, coerceTypes: false } } })
  server.setErrorHandler(answerError)
  addRevocationRoutes(server, {
    stream,
    feedTokens: [FEED_TOKEN],
    digest(cut) {
      if (cut === 1) return { ok: true, digest: Promise.resolve(value) }
      if (cut === 2) return { ok: false, code: 'overloaded' }
      if (cut === 3) return { ok: true, digest: Promise.reject(new StoreUnavailable('the ledger', new Error('away'))) }
      return { ok: false, code: 'invalid_request' }
    },
  })
  const ask = (query: string) => server.inject({ url: `/revocations/digest${query}`, headers: { authorization } })
  const good = await ask('?cut=1')
  t.equal(good.statusCode, 200)
  t.equal(good.headers['cache-control'], 'no-store')
  t.same(good.json(), value)
  const refused: [query: string, status: number, code: string][] = [
    ['?cut=2', 503, 'overloaded'],
    ['?cut=3', 503, 'store_unavailable'],
    ['?cut=4', 400, 'invalid_request'],
    ['', 400, 'invalid_request'],
    ['?cut=', 400, 'invalid_request'],
    ['?cut=-1', 400, 'invalid_request'],
    ['?cut=1.5', 400, 'invalid_request'],
    ['?cut=1e3', 400, 'invalid_request'],
    ['?cut=1234567890123', 400, 'invalid_request'],
    ['?cut=1&cut=1', 400, 'invalid_request'],
    ['?cut=1&more=1', 400, 'invalid_request'],
  ]
  for (const [query, status, code] of refused) {
    const response = await ask(query)
    t.equal(response.statusCode, status, query)
    t.match(response.headers['content-type'], /^application\/problem\+json/, query)
    t.equal(response.json().code, code, query)
  }
})
