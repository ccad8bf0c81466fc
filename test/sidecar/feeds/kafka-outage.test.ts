import { test } from 'tap'
import { createKafkaPublisher } from '../../../issuer/adapters/kafka-publisher.ts'
import { startOutbox } from '../../../issuer/adapters/outbox.ts'
import { startKafkaFeed } from '../../../sidecar/feeds/kafka.ts'
import { eventually } from '../../helpers/eventually.ts'
import {
  base,
  entry,
  memoryLedger,
  noMoreKeys,
  receiver,
  session,
  signer,
  signingKey,
} from '../../helpers/revocations.ts'
import { uniqueName } from '../../helpers/unique-name.ts'
import { startKafka } from '../../servers/kafka.ts'
import { missing } from '../../servers/shared.ts'

const key = signingKey()
const clock = { now: () => Date.now() }
const options = { skip: await missing('kafka'), timeout: 300_000 }

/** One issuer and one sidecar around a broker of their own. */
async function startBoth(t: Parameters<typeof base>[0]) {
  const server = await startKafka()
  t.teardown(() => server.stop())
  const parts = base(t)
  const address = { brokers: [server.url], topic: uniqueName('feed'), longestLifetimeS: () => 300 }
  const ledger = memoryLedger()
  const publisher = createKafkaPublisher(address, 'a', parts.log, parts.lifecycle)
  startOutbox({ ...parts, ledger, publisher, sign: signer(key), instance: 'a', clock, intervalMs: 100 })
  const to = receiver(parts, [key])
  const feed = startKafkaFeed({
    address,
    intake: to.intake,
    keys: noMoreKeys,
    onProgress: (completeUntilMs) => void to.freshness.advance('kafka', completeUntilMs),
    log: parts.log,
    lifecycle: parts.lifecycle,
  })
  await eventually(() => feed.complete(), { within: 60_000 })
  return { server, ledger, to, parts }
}

test(
  'a broker that is killed and started again: the sidecar knows that it does not know, then all',
  options,
  async (t) => {
    const { server, ledger, to, parts } = await startBoth(t)
    await ledger.record([entry(session('before'))])
    await eventually(() => to.added.includes('session:before'))
    await server.kill()
    const lost = Date.now()
    await ledger.record([entry(session('meanwhile'))])
    await eventually(() => to.freshness.ageMs(Date.now()) > 2000, { within: 60_000 })
    t.ok(to.freshness.completeUntil('kafka') <= lost + 200, 'nothing is claimed while the broker is away')
    t.notOk(to.added.includes('session:meanwhile'))
    await server.start()
    await eventually(() => to.added.includes('session:meanwhile'), { within: 60_000 })
    await eventually(() => to.freshness.ageMs(Date.now()) < 1000, { within: 60_000 })
    t.equal(to.added.length, 2, 'what is read again is not new')
    t.ok(parts.lines.some((line) => line.includes('complete again')))
  },
)

test('a broker that hangs: no freshness, and everything afterwards', options, async (t) => {
  const { server, ledger, to } = await startBoth(t)
  server.pause()
  await ledger.record([entry(session('meanwhile'))])
  await eventually(() => to.freshness.ageMs(Date.now()) > 2500, { within: 60_000 })
  t.notOk(to.added.includes('session:meanwhile'))
  server.resume()
  await eventually(() => to.added.includes('session:meanwhile'), { within: 60_000 })
  await eventually(() => to.freshness.ageMs(Date.now()) < 1000, { within: 60_000 })
})
