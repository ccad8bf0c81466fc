import { once } from 'node:events'
import { type Test, test } from 'tap'
import type { ServerRules } from '../../issuer/server.ts'
import { closeServer } from '../../shared/close-server.ts'
import { readAnswers } from '../helpers/answers.ts'
import { eventually } from '../helpers/eventually.ts'
import { startUnreadClient } from '../helpers/unread-answers.ts'
import { buildIssuer } from './build.ts'

async function startUnread(t: Test, rules: Partial<ServerRules>) {
  const { app } = await buildIssuer(t, { rules })
  await app.listen({ host: '127.0.0.1', port: 0 })
  let arrived = 0
  app.server.on('request', () => arrived++)
  const unread = await startUnreadClient(t, app.server, 'GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n')
  return { app, ...unread, askUntilAnAnswerWaits: () => unread.askUntilAnAnswerWaits(() => arrived) }
}

test('a client that takes nothing of an answer is given up', async (t) => {
  const { end, askUntilAnAnswerWaits } = await startUnread(t, { stallMs: 3000 })
  // Again and again: what waited may have found a place in the kernel after all.
  const isGivenUp = async () => {
    await askUntilAnAnswerWaits()
    return end.destroyed
  }
  await eventually(isGivenUp, { within: 60_000 })
})

test('an answer that waits for a slow client to take it is not cut off when the server closes', async (t) => {
  const { app, client, asked, askUntilAnAnswerWaits } = await startUnread(t, {})
  await askUntilAnAnswerWaits()
  const closed = closeServer(app)
  await eventually(() => !app.server.listening)
  let text = ''
  client.setEncoding('latin1').on('data', (chunk) => {
    text += chunk
  })
  await once(client.resume(), 'close')
  await closed
  const answers = readAnswers(text, true)
  t.equal(answers.length, asked())
  t.ok(answers.every(({ status, complete }) => status === 200 && complete))
})
