import Fastify from 'fastify'
import { test } from 'tap'
import { addRevocationRoutes } from '../../../../issuer/http/routes/revocations.ts'
import { FEED_TOKEN } from '../../../helpers/event-stream.ts'

const stream = { subscribe: () => {}, close: () => {} }

function app(feedToken: string | undefined) {
  const server = Fastify()
  addRevocationRoutes(server, { stream, feedToken })
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
    t.equal(response.json().code, 'token_invalid')
  }
})

test('without a credential in the settings there is no feed', async (t) => {
  for (const authorization of ['Bearer undefined', 'Bearer ', 'Bearer x']) {
    const response = await app(undefined).inject({ url: '/revocations', headers: { authorization } })
    t.equal(response.statusCode, 404)
    t.equal(response.json().code, 'not_found')
  }
})

test('HEAD opens no stream', async (t) => {
  const headers = { authorization: `Bearer ${FEED_TOKEN}` }
  const response = await app(FEED_TOKEN).inject({ method: 'HEAD', url: '/revocations', headers })
  t.equal(response.statusCode, 404)
})
