import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { type Test, test } from 'tap'
import { toJwk } from '../../../shared/jwks.ts'
import type { SigningKeyPair } from '../../../shared/jws.ts'
import { createKeyRing } from '../../../sidecar/domain/key-ring.ts'
import { type KeyFetcherOptions, startKeyFetcher } from '../../../sidecar/feeds/jwks.ts'
import { eventually } from '../../helpers/eventually.ts'
import { base, manualClock, metric, signingKey } from '../../helpers/revocations.ts'

const [one, two] = [signingKey(), signingKey('EdDSA')]
const HOUR = 3_600_000
const ISSUER = 'https://issuer.example'

const jwks = (...keys: SigningKeyPair[]) => JSON.stringify({ keys: keys.map(toJwk) })

/** An issuer that answers with `answer`, which a test may change. */
async function startIssuer(t: Test) {
  const issuer = {
    requests: 0,
    url: '',
    answer: (res: ServerResponse): unknown => res.end(jwks(one)),
    stop: () => {
      server.closeAllConnections()
      server.close()
    },
  }
  const server = createServer((_req, res) => {
    issuer.requests++
    issuer.answer(res)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  issuer.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/.well-known/jwks.json`
  t.teardown(issuer.stop)
  return issuer
}

function startFetcher(t: Test, url: string, more: Partial<KeyFetcherOptions> = {}) {
  const parts = base(t)
  const clock = manualClock()
  const ring = createKeyRing({ maxStaleMs: more.maxStaleMs ?? HOUR })
  const times = { refreshMs: HOUR, cooldownMs: HOUR, maxStaleMs: HOUR }
  const options = { issuer: ISSUER, ...times, ring, url, clock, ...parts, ...more }
  return { ...parts, clock, ring, keys: startKeyFetcher(options) }
}

const folderFor = (t: Test) => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-jwks-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return folder
}

const fetches = (metrics: Parameters<typeof metric>[0], outcome: string) =>
  metric(metrics, 'jwks_fetches_total', { outcome })

test('it fetches at the start and again and again, and the ring follows', async (t) => {
  const issuer = await startIssuer(t)
  const { keys, ring, metrics } = startFetcher(t, issuer.url, { refreshMs: 50 })
  t.match(keys.check(), { name: 'keys', ok: false })
  await keys.ready
  t.match(keys.check(), { ok: true })
  t.ok(ring.keyFor(one.kid))
  issuer.answer = (res) => res.end(jwks(two))
  await eventually(() => ring.keyFor(two.kid))
  t.equal(ring.keyFor(one.kid), undefined, 'a key that is no longer published is gone')
  t.ok((await fetches(metrics, 'fetched')) >= 2)
})

test('it asks past every cache, and for a 503 rather than a set that may lack a key', async (t) => {
  const issuer = await startIssuer(t)
  let asked: string | undefined
  issuer.answer = (res) => {
    asked = res.req.headers['cache-control']
    res.end(jwks(one))
  }
  await startFetcher(t, issuer.url).keys.ready
  t.equal(asked, 'no-cache', 'what the issuer goes by')
})

test('lookUp: a known key is known at once, whatever the issuer does', async (t) => {
  const issuer = await startIssuer(t)
  const { keys } = startFetcher(t, issuer.url, { refreshMs: 20, cooldownMs: 10 })
  await keys.ready
  issuer.answer = () => {}
  await eventually(() => issuer.requests >= 2)
  const began = performance.now()
  t.equal(await keys.lookUp(one.kid), 'known')
  t.ok(performance.now() - began < 2000, 'though a fetch is hanging')
})

test('lookUp: all at once share one fetch, and what it did not bring is absent for a while', async (t) => {
  const issuer = await startIssuer(t)
  const { keys } = startFetcher(t, issuer.url, { cooldownMs: 30 })
  await keys.ready
  await new Promise((resolve) => setTimeout(resolve, 40))
  issuer.answer = (res) => setTimeout(() => res.end(jwks(one, two)), 50)
  const before = issuer.requests
  const verdicts = await Promise.all(
    Array.from({ length: 50 }, (_, n) => keys.lookUp(n % 2 ? two.kid : `unknown ${n % 10}`)),
  )
  t.equal(issuer.requests, before + 1)
  t.same([...new Set(verdicts.filter((_, n) => n % 2))], ['known'])
  t.same([...new Set(verdicts.filter((_, n) => n % 2 === 0))], ['absent', 'unavailable'])
  t.equal(verdicts[0], 'absent', 'the one it was asked about')
  await new Promise((resolve) => setTimeout(resolve, 40))
  t.equal(await keys.lookUp('unknown 0'), 'absent')
  t.equal(issuer.requests, before + 1, 'without asking again, though the cooldown is over')
})

test('lookUp: a fetch that began before does not answer for a key that may be newer', async (t) => {
  const issuer = await startIssuer(t)
  const { keys } = startFetcher(t, issuer.url, { cooldownMs: 10, refreshMs: 100 })
  await keys.ready
  let answerNow = () => {}
  issuer.answer = (res) => {
    const known = jwks(one)
    answerNow = () => void res.end(known)
  }
  const before = issuer.requests
  await eventually(() => issuer.requests > before)
  // The issuer has looked at its keys; only now is there another.
  const verdict = keys.lookUp(two.kid)
  issuer.answer = (res) => res.end(jwks(one, two))
  answerNow()
  t.equal(await verdict, 'unavailable')
  await eventually(async () => (await keys.lookUp(two.kid)) === 'known')
})

test('lookUp: at most one fetch in a cooldown; what nobody was asked about is unavailable', async (t) => {
  const issuer = await startIssuer(t)
  const { keys } = startFetcher(t, issuer.url, { cooldownMs: HOUR })
  await keys.ready
  await setImmediate()
  for (let n = 0; n < 100; n++) t.equal(await keys.lookUp(`unknown ${n}`), 'unavailable')
  t.equal(issuer.requests, 1)
})

test('an outage: unknown keys are unavailable, and failed attempts count for the cooldown (jose does not)', async (t) => {
  const issuer = await startIssuer(t)
  const cooldownMs = 150
  const { keys, metrics, lines } = startFetcher(t, issuer.url, { cooldownMs })
  await keys.ready
  await setImmediate()
  issuer.answer = (res) => res.socket!.destroy()
  const began = performance.now()
  const verdicts = new Set<string>()
  while (performance.now() - began < 800 || issuer.requests < 3) {
    verdicts.add(await keys.lookUp(`unknown ${Math.random()}`))
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  const cooldowns = (performance.now() - began) / cooldownMs
  t.same([...verdicts], ['unavailable'])
  t.ok(issuer.requests <= 2 + cooldowns, `${issuer.requests} requests in ${cooldowns.toFixed(1)} cooldowns`)
  await eventually(async () => (await fetches(metrics, 'failed')) >= 2)
  t.equal(lines.filter((line) => line.includes('cannot be fetched')).length, 1)
  t.equal(await keys.lookUp(one.kid), 'known', 'the known ones are served stale')
})

test('settle: waits through an outage and is not starved by others who ask', async (t) => {
  const issuer = await startIssuer(t)
  const { keys } = startFetcher(t, issuer.url, { cooldownMs: 40, refreshMs: 40 })
  await keys.ready
  issuer.answer = (res) => res.writeHead(500).end()
  const others = setInterval(() => void keys.lookUp(`other ${Math.random()}`), 1)
  t.teardown(() => clearInterval(others))
  const { signal } = new AbortController()
  const settled = Promise.all([keys.settle(two.kid, signal), keys.settle('nobody', signal)])
  const early = await Promise.race([settled, new Promise((resolve) => setTimeout(resolve, 300, 'waiting'))])
  t.equal(early, 'waiting')
  issuer.answer = (res) => res.end(jwks(one, two))
  t.same(await settled, ['known', 'absent'])
})

test('settle: a flood of unknown keys that came at one moment is settled by one fetch', async (t) => {
  const issuer = await startIssuer(t)
  const { keys } = startFetcher(t, issuer.url, { cooldownMs: 100 })
  await keys.ready
  const { signal } = new AbortController()
  const [heardAt, before] = [performance.now(), issuer.requests]
  issuer.answer = (res) => res.end(jwks(one, two))
  // One after the other, as a feed reads them.
  for (let n = 0; n < 50; n++) t.equal(await keys.settle(`forged ${n}`, signal, heardAt), 'absent')
  t.equal(await keys.settle(two.kid, signal, heardAt), 'known')
  t.equal(issuer.requests, before + 1)
  t.equal(await keys.settle('heard of later', signal), 'absent')
  t.equal(issuer.requests, before + 2, 'what came after the fetch is asked for again')
})

test('settle: ends when nobody waits any more', async (t) => {
  const issuer = await startIssuer(t)
  const { keys } = startFetcher(t, issuer.url)
  await keys.ready
  const waiting = new AbortController()
  const settled = keys.settle('nobody', waiting.signal)
  waiting.abort()
  t.equal(await settled, 'unavailable')
})

test('keys are served stale only for so long: then there are none', async (t) => {
  const issuer = await startIssuer(t)
  const { keys, ring, clock, lines } = startFetcher(t, issuer.url, { refreshMs: 20, cooldownMs: 20, maxStaleMs: HOUR })
  await keys.ready
  issuer.stop()
  clock.advance(HOUR - 1000)
  await eventually(() => lines.some((line) => line.includes('cannot be fetched')))
  keys.expire()
  t.ok(ring.keyFor(one.kid))
  clock.advance(2000)
  for (let look = 0; look < 2; look++) keys.expire()
  t.equal(ring.size, 0)
  t.equal(lines.filter((line) => line.includes('too old')).length, 1)
  t.match(keys.check(), { ok: false })
  t.equal(await keys.lookUp(one.kid), 'unavailable', 'no verdict, never "absent"')
})

test('answers that are no key set change nothing', async (t) => {
  const issuer = await startIssuer(t)
  const { keys, ring, metrics } = startFetcher(t, issuer.url, { refreshMs: 5, cooldownMs: 5 })
  await keys.ready
  const symmetric = JSON.stringify({ keys: [{ kty: 'oct', kid: 'x', k: 'AAAA', alg: 'HS256' }] })
  const rows: [string, (res: ServerResponse) => unknown][] = [
    ['a redirect (CVE-2026-48522)', (res) => res.writeHead(302, { location: issuer.url }).end(jwks(two))],
    ['an error with keys in it', (res) => res.writeHead(500).end(jwks(two))],
    ['no JSON', (res) => res.end('<html>')],
    ['no list', (res) => res.end('{"keys":{}}')],
    ['no keys', (res) => res.end('{"keys":[]}')],
    ['a symmetric key', (res) => res.end(symmetric)],
    ['too large', (res) => res.end(JSON.stringify({ keys: [toJwk(two)], pad: 'x'.repeat(300 * 1024) }))],
    ['cut off', (res) => res.writeHead(200).write(jwks(two), () => res.socket?.destroy())],
  ]
  for (const [name, answer] of rows) {
    const failed = await fetches(metrics, 'failed')
    issuer.answer = answer
    await eventually(async () => (await fetches(metrics, 'failed')) > failed + 1, { message: name })
    t.ok(ring.keyFor(one.kid), name)
    t.notOk(ring.keyFor(two.kid), name)
  }
})

test('a cold start without the issuer: the last good set on disk', async (t) => {
  const cachePath = join(folderFor(t), 'deeper', 'jwks.json')
  const issuer = await startIssuer(t)
  const first = startFetcher(t, issuer.url, { cachePath })
  await first.keys.ready
  await eventually(() => existsSync(cachePath))
  await first.lifecycle.close()
  t.equal(statSync(cachePath).mode & 0o777, 0o600)
  t.same(readdirSync(join(cachePath, '..')), ['jwks.json'], 'no temporary file is left')
  t.notOk(readFileSync(cachePath, 'utf8').includes('"d"'))
  issuer.stop()

  const second = startFetcher(t, issuer.url, { cachePath })
  await second.keys.ready
  t.ok(second.ring.keyFor(one.kid))
  t.equal(second.ring.fetchedAtMs, first.ring.fetchedAtMs, 'as old as it is')
  await eventually(async () => (await fetches(second.metrics, 'failed')) > 0, { message: 'and the issuer is asked' })
})

test('a revoked key is forgotten on disk too, and neither the disk nor the issuer brings it back', async (t) => {
  const cachePath = join(folderFor(t), 'jwks.json')
  const issuer = await startIssuer(t)
  issuer.answer = (res) => res.end(jwks(one, two))
  const first = startFetcher(t, issuer.url, { cachePath, refreshMs: 20 })
  await first.keys.ready
  await eventually(() => existsSync(cachePath))
  const exp = Math.floor(Date.now() / 1000) + 1000
  first.keys.revoke(two.kid, exp)
  t.equal(first.ring.keyFor(two.kid), undefined, 'at once')
  const asked = issuer.requests
  t.equal(await first.keys.lookUp(two.kid), 'absent', 'a verdict, without asking anyone')
  t.equal(await first.keys.settle(two.kid, new AbortController().signal), 'absent')
  t.ok(issuer.requests <= asked + 1)
  // The issuer goes on offering it, as one would that lags behind.
  await eventually(() => issuer.requests > asked + 3)
  t.equal(first.ring.keyFor(two.kid), undefined)
  t.ok(first.ring.keyFor(one.kid))
  await first.lifecycle.close()
  const kept = JSON.parse(readFileSync(cachePath, 'utf8'))
  t.match(kept, { jwks: { keys: [{ kid: one.kid }] }, revoked: [[two.kid, exp]] })
  t.equal(kept.jwks.keys.length, 1)

  const second = startFetcher(t, issuer.url, { cachePath })
  await second.keys.ready
  await eventually(async () => (await fetches(second.metrics, 'fetched')) > 0)
  t.equal(second.ring.keyFor(two.kid), undefined, 'after a restart, though the issuer offers it')
  t.ok(second.ring.keyFor(one.kid))
})

test('a key that is revoked while the issuer is away is gone from the disk before the process ends', async (t) => {
  const cachePath = join(folderFor(t), 'jwks.json')
  writeFileSync(
    cachePath,
    JSON.stringify({ issuer: ISSUER, fetchedAtMs: Date.now(), jwks: JSON.parse(jwks(one, two)) }),
  )
  const first = startFetcher(t, 'http://127.0.0.1:1/', { cachePath })
  await first.keys.ready
  t.ok(first.ring.keyFor(two.kid), 'nothing was revoked')
  first.keys.revoke(two.kid, 4e9)
  await first.lifecycle.close()
  const second = startFetcher(t, 'http://127.0.0.1:1/', { cachePath })
  await second.keys.ready
  t.equal(second.ring.keyFor(two.kid), undefined)
  t.equal(second.ring.fetchedAtMs, first.ring.fetchedAtMs, 'and the rest is no younger for it')
  second.clock.advance(4e12)
  second.keys.revoke('another', 8e9)
  await second.lifecycle.close()
  t.same(JSON.parse(readFileSync(cachePath, 'utf8')).revoked, [['another', 8e9]], 'what is over is forgotten')
})

test('a set on disk that is too old, from the future, of another issuer or not a set is not used, and one line says so', async (t) => {
  const cachePath = join(folderFor(t), 'jwks.json')
  const now = Date.now()
  const keys = JSON.parse(jwks(one))
  const whole = { issuer: ISSUER, fetchedAtMs: now, jwks: keys, revoked: [] }
  const without = (field: keyof typeof whole) => ({ ...whole, [field]: undefined })
  const symmetric = { keys: [{ kty: 'oct', kid: 'x', k: 'AAAA' }] }
  const rows: [name: string, content: object | string | null, reason: RegExp][] = [
    ['too old', { ...whole, fetchedAtMs: now - 2 * HOUR }, /too old/],
    ['from the future', { ...whole, fetchedAtMs: now + HOUR }, /future/],
    ['without a time', without('fetchedAtMs'), /malformed/],
    ['a time that is none', { ...whole, fetchedAtMs: String(now) }, /malformed/],
    ['another issuer', { ...whole, issuer: 'https://issuer2.example' }, /of another issuer/],
    ['almost this issuer', { ...whole, issuer: `${ISSUER}/` }, /of another issuer/],
    ['of an earlier version: no issuer', without('issuer'), /malformed/],
    ['truncated', JSON.stringify(whole).slice(0, -20), /not JSON/],
    ['empty', '', /not JSON/],
    ['no object', null, /malformed/],
    ['no set', without('jwks'), /malformed/],
    ['revocations that are no list', { ...whole, revoked: { [one.kid]: 1 } }, /malformed/],
    ['a malformed revocation', { ...whole, revoked: [[one.kid, 'soon']] }, /malformed/],
    ['symmetric', { ...whole, jwks: symmetric }, /no key/],
  ]
  for (const [name, content, reason] of rows) {
    writeFileSync(cachePath, typeof content === 'string' ? content : JSON.stringify(content))
    const { ring, metrics, lifecycle, lines } = startFetcher(t, 'http://127.0.0.1:1/', { cachePath })
    await eventually(async () => (await fetches(metrics, 'failed')) > 0)
    t.equal(ring.size, 0, name)
    const said = lines.filter((line) => line.includes('the kept keys'))
    t.equal(said.length, 1, `${name}: one line`)
    t.match(said[0], reason, name)
    await lifecycle.close()
  }
  writeFileSync(cachePath, JSON.stringify(whole))
  const { ring, keys: fetcher, lines } = startFetcher(t, 'http://127.0.0.1:1/', { cachePath })
  await fetcher.ready
  t.equal(ring.size, 1, 'the whole is')
  t.same(
    lines.filter((line) => line.includes('the kept keys')),
    [],
  )
})

test("what another issuer's keys were revoked for does not concern this one", async (t) => {
  const cachePath = join(folderFor(t), 'jwks.json')
  const kept = { issuer: 'https://before.example', fetchedAtMs: Date.now(), revoked: [[one.kid, 4e9]] }
  writeFileSync(cachePath, JSON.stringify({ ...kept, jwks: JSON.parse(jwks(two)) }))
  const issuer = await startIssuer(t)
  const { ring, keys, lifecycle } = startFetcher(t, issuer.url, { cachePath })
  await keys.ready
  t.ok(ring.keyFor(one.kid))
  t.notOk(ring.keyFor(two.kid))
  await lifecycle.close()
  t.match(JSON.parse(readFileSync(cachePath, 'utf8')), { issuer: ISSUER, revoked: [] }, 'the file is replaced')
})

test('a folder that cannot be written costs a warning and no more', async (t) => {
  // A file where a folder should be: that stops root too.
  const folder = join(folderFor(t), 'file')
  writeFileSync(folder, '')
  const issuer = await startIssuer(t)
  const { keys, lines } = startFetcher(t, issuer.url, { cachePath: join(folder, 'jwks.json') })
  await keys.ready
  await eventually(() => lines.some((line) => line.includes('cannot be kept')))
})

test('an issuer that never answers: each attempt ends, and so does the process', async (t) => {
  const issuer = await startIssuer(t)
  issuer.answer = () => {}
  const { lifecycle } = startFetcher(t, issuer.url)
  await eventually(() => issuer.requests > 0)
  const began = performance.now()
  await lifecycle.close()
  t.ok(performance.now() - began < 4000, 'sooner than the attempt would have ended')
})
