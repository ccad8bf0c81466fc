import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Test, test } from 'tap'
import type { Revocation } from '../../../shared/revocation.ts'
import type { SecurityEvent } from '../../../shared/security-event.ts'
import { FEED_TOKEN, readInto, startEventStream, streamKey } from '../../helpers/event-stream.ts'
import { eventually } from '../../helpers/eventually.ts'
import {
  base,
  entry,
  MAX_STALENESS_MS,
  metric,
  receiver,
  session,
  signer,
  signingKey,
} from '../../helpers/revocations.ts'

const sign = signer(streamKey)
const frame = (event: SecurityEvent, id = 'a.1', by = sign) => `id: ${id}\nevent: set\ndata: ${by(event)}\n\n`
const heartbeat = (id?: string, by = sign, completeUntilMs = Date.now()) =>
  frame({ type: 'heartbeat', instance: 'a', completeUntilMs }, id, by)
const revoked = (name: string, id?: string, by = sign) =>
  frame({ type: 'revocation', revocation: session(name) }, id, by)
const list = (...revocations: Revocation[]) => JSON.stringify(revocations)
const entries = (data: string) => `event: entries\ndata: ${data}\n\n`

function snapshotEnd(count: number, texts: string[], by = sign, id = 'a.0') {
  const hash = createHash('sha256')
  for (const text of texts) hash.update(`${text}\n`)
  const sha256 = hash.digest('base64url')
  return frame({ type: 'snapshot', instance: 'a', completeUntilMs: Date.now(), entries: count, sha256 }, id, by)
}

type Answer = (res: ServerResponse, req: IncomingMessage) => unknown

/** An issuer that says what it is told: each connection gets the next answer, the last one again and again. */
async function startStub(t: Test, ...answers: Answer[]) {
  const requests: IncomingMessage[] = []
  const server = createServer((req, res) => {
    requests.push(req)
    res.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
    answers[Math.min(requests.length, answers.length) - 1]!(res, req)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/revocations`, requests }
}

/** A sidecar's end of it. */
function follow(t: Test, url: string, ...rest: [keys?: Parameters<typeof readInto>[3]]) {
  const parts = base(t)
  const to = receiver(parts, [streamKey])
  return { ...parts, to, stream: readInto(to, parts, url, ...rest) }
}

test('a snapshot and the stream after it are a complete feed', async (t) => {
  const { url, ledger } = await startEventStream(t)
  const ids = Array.from({ length: 3000 }, (_, n) => `s${n}`)
  await ledger.record(ids.map((id) => entry(session(id))))
  await ledger.record([entry({ kind: 'key', kid: 'stolen', exp: 4e9 })])
  const { to, stream } = follow(t, url)
  t.notOk(stream.complete())
  await eventually(() => stream.complete())
  t.same(to.added, [...ids.map((id) => `session:${id}`), 'key:stolen'])
  t.ok(to.freshness.isFresh(Date.now()))
  await ledger.record([entry(session('later'))])
  await eventually(() => to.added.at(-1) === 'session:later')
  const known = to.freshness.completeUntil('stream')
  await eventually(() => to.freshness.completeUntil('stream') > known, { message: 'heartbeats go on' })
})

test('an empty snapshot is one too', async (t) => {
  const { url } = await startEventStream(t)
  const { stream } = follow(t, url)
  await eventually(() => stream.complete())
})

test('a connection that breaks is taken up where it broke', async (t) => {
  const one = list(session('one'))
  let breakOff = () => {}
  const { url, requests } = await startStub(
    t,
    (res) => {
      res.write(entries(one) + snapshotEnd(1, [one]))
      res.write(revoked('two', 'a.1'))
      breakOff = () => res.destroy()
    },
    (res) => res.write(revoked('three', 'a.2') + heartbeat('a.2')),
  )
  const { to, stream } = follow(t, url)
  await eventually(() => to.added.includes('session:two'))
  breakOff()
  await eventually(() => to.added.includes('session:three'))
  t.equal(requests[1]!.headers['last-event-id'], 'a.1')
  t.equal(requests[0]!.headers['last-event-id'], undefined)
  t.equal(requests[0]!.headers.authorization, `Bearer ${FEED_TOKEN}`)
  t.ok(stream.complete())
})

test('a heartbeat before the snapshot is complete proves nothing', async (t) => {
  const { url } = await startStub(t, (res) => {
    res.write(heartbeat())
    res.write(entries(list(session('one'))))
    res.write(heartbeat())
    res.write(revoked('end'))
  })
  const { to, stream } = follow(t, url)
  await eventually(() => to.added.includes('session:end'))
  t.notOk(stream.complete())
  t.notOk(to.freshness.isFresh(Date.now()))
})

test('nor does one in the snapshot that a connection gets that was to be taken up where it broke', async (t) => {
  const none = list()
  let later = 0
  let breakOff = () => {}
  const { url } = await startStub(
    t,
    (res) => {
      res.write(entries(none) + snapshotEnd(0, [none]) + revoked('one', 'a.1'))
      // Later than that snapshot, however late it was asked for.
      later = Date.now() + 2000
      breakOff = () => res.destroy()
    },
    (res) => res.write(entries(none) + heartbeat('a.2', sign, later) + revoked('end', 'a.2')),
  )
  const { to } = follow(t, url)
  await eventually(() => to.added.includes('session:one'))
  breakOff()
  await eventually(() => to.added.includes('session:end'))
  t.ok(to.freshness.completeUntil('stream') < later)
})

test('a snapshot that is not what was signed is refused, and read anew', async (t) => {
  const [one, two] = [list(session('one')), list(session('two'))]
  const forger = signer(signingKey('ES256', streamKey.kid))
  const rows: [string, string][] = [
    ['an entry taken out', entries(one) + snapshotEnd(2, [one, two])],
    ['an entry put in', entries(one) + entries(two) + snapshotEnd(1, [one])],
    ['another entry', entries(two) + snapshotEnd(1, [one])],
    ['another order', entries(two) + entries(one) + snapshotEnd(2, [one, two])],
    ['a wrong count', entries(one) + snapshotEnd(2, [one])],
    ['a forged signature', entries(one) + snapshotEnd(1, [one], forger)],
    ['no list', entries('{}') + snapshotEnd(0, ['{}'])],
    ['no JSON', entries('[') + snapshotEnd(0, ['['])],
    ['a malformed entry', entries('[{}]') + snapshotEnd(1, ['[{}]'])],
  ]
  for (const [name, text] of rows) {
    const { url, requests } = await startStub(t, (res) => res.write(text + heartbeat()))
    const { to, stream, lifecycle } = follow(t, url)
    await eventually(() => requests.length >= 2, { message: name })
    t.notOk(stream.complete(), name)
    t.equal(to.freshness.completeUntil('stream'), 0, name)
    t.equal(requests[1]!.headers['last-event-id'], undefined, `${name}: anew, not from where it was`)
    await lifecycle.close()
  }
})

test('a snapshot that was tampered with is counted; a good one after it mends all', async (t) => {
  const one = list(session('one'))
  const { url } = await startStub(
    t,
    (res) => res.write(entries(one) + snapshotEnd(2, [one])),
    (res) => res.write(entries(one) + snapshotEnd(1, [one])),
  )
  const { to, stream, metrics } = follow(t, url)
  await eventually(() => stream.complete())
  t.same(to.added, ['session:one'])
  t.equal(await metric(metrics, 'revocation_events_total', { feed: 'stream', outcome: 'snapshot_mismatch' }), 1)
})

test('key revocations of a snapshot wait for its signature', async (t) => {
  const text = list({ kind: 'key', kid: streamKey.kid, exp: 4e9 }, session('one'))
  const stolen = list({ kind: 'key', kid: 'stolen', exp: 4e9 })
  const { url } = await startStub(
    t,
    (res) => res.write(entries(text) + snapshotEnd(3, [text])),
    (res) => res.write(entries(stolen) + snapshotEnd(1, [stolen])),
  )
  const { to, stream } = follow(t, url)
  await eventually(() => stream.complete(), { message: 'the key that signs is still there' })
  t.same(to.added, ['session:one', 'key:stolen'])
})

test('an old snapshot, long on its way, still counts; its heartbeats make it fresh', async (t) => {
  const sent = Date.now() - MAX_STALENESS_MS - 60_000
  const sha256 = createHash('sha256').digest('base64url')
  const { url } = await startStub(t, (res) => {
    res.write(frame({ type: 'snapshot', instance: 'a', completeUntilMs: sent, entries: 0, sha256 }))
    setTimeout(() => res.write(heartbeat()), 50)
  })
  const { to } = follow(t, url)
  await eventually(() => to.freshness.isFresh(Date.now()))
})

test('a forged event on the stream ends the connection', async (t) => {
  const good = snapshotEnd(0, [])
  const forger = signer(signingKey('ES256', streamKey.kid))
  const elsewhere = signer(streamKey, 'https://evil.example')
  for (const forged of [
    revoked('x', 'a.1', forger),
    revoked('x', 'a.1', elsewhere),
    'event: set\ndata: nonsense\n\n',
  ]) {
    const { url, requests } = await startStub(t, (res) => res.write(good + forged + revoked('after')))
    const { to, lifecycle } = follow(t, url)
    await eventually(() => requests.length >= 2)
    t.same(to.added, [], 'and what comes after it is not read')
    t.equal(requests[1]!.headers['last-event-id'], undefined)
    await lifecycle.close()
  }
})

test('an unknown key: the stream waits until it is known', async (t) => {
  const next = signingKey()
  const { url } = await startStub(t, (res) =>
    res.write(snapshotEnd(0, []) + revoked('one', 'a.1', signer(next)) + heartbeat()),
  )
  const answer = Promise.withResolvers<'known'>()
  let asked = ''
  const { to, stream } = follow(t, url, {
    settle: (kid) => {
      asked = kid
      return answer.promise
    },
  })
  await eventually(() => asked === next.kid)
  const known = to.freshness.completeUntil('stream')
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.equal(to.freshness.completeUntil('stream'), known)
  to.ring.replace([streamKey, next], Date.now())
  answer.resolve('known')
  await eventually(() => to.added.includes('session:one') && stream.complete())
})

test('a key that the issuer does not have: no going on without that event', async (t) => {
  const { url, requests } = await startStub(t, (res) =>
    res.write(snapshotEnd(0, []) + revoked('one', 'a.1', signer(signingKey())) + heartbeat()),
  )
  const { metrics } = follow(t, url)
  await eventually(() => requests.length >= 2)
  t.ok((await metric(metrics, 'revocation_events_total', { outcome: 'key_absent' })) >= 1)
})

test('a stream that falls silent is given up', async (t) => {
  const { url, requests } = await startStub(t, (res) => res.write(snapshotEnd(0, [])))
  follow(t, url)
  await eventually(() => requests.length >= 2, { within: 60_000 })
  t.equal(requests[1]!.headers['last-event-id'], 'a.0')
})

test('an issuer that refuses, redirects or answers something else is tried again, and reported once', async (t) => {
  let requests = 0
  const server = createServer((_req, res) => {
    const answers: Answer[] = [
      (res) => res.writeHead(401).end(),
      (res) => res.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
      (res) => res.writeHead(200, { 'content-type': 'text/html' }).end('<html>'),
      (res) => res.destroy(),
    ]
    answers[requests++ % answers.length]!(res, _req)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const { lines } = follow(t, `http://127.0.0.1:${(server.address() as AddressInfo).port}/revocations`)
  await eventually(() => requests >= 5, { within: 60_000 })
  t.equal(lines.filter((line) => line.includes('cannot be read')).length, 1)
  t.match(lines.join(''), /answered 401 instead of a stream: FEED_TOKEN has to be the same here and there/)
  t.notOk(lines.join('').includes(FEED_TOKEN))
})

test('closed and opened again it goes on', async (t) => {
  const { url, ledger } = await startEventStream(t)
  const { to, stream } = follow(t, url)
  await eventually(() => stream.complete())
  stream.close()
  t.notOk(stream.isOpen)
  await ledger.record([entry(session('meanwhile'))])
  stream.open()
  stream.open()
  await eventually(() => to.added.includes('session:meanwhile'))
})
