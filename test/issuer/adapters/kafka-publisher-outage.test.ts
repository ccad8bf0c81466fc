import { test } from 'tap'
import { createKafkaPublisher } from '../../../issuer/adapters/kafka-publisher.ts'
import { startOutbox } from '../../../issuer/adapters/outbox.ts'
import { eventually } from '../../helpers/eventually.ts'
import { type Base, base, entry, ISSUER, memoryLedger, session, signer, signingKey } from '../../helpers/revocations.ts'
import { readTopic } from '../../helpers/topic.ts'
import { uniqueName } from '../../helpers/unique-name.ts'
import { startKafka } from '../../servers/kafka.ts'
import { missing } from '../../servers/shared.ts'

const sign = signer(signingKey())
const clock = { now: () => Date.now() }
const own = { skip: await missing('kafka'), timeout: 300_000 }

const event = (id: string) => ({ key: id, token: sign({ type: 'revocation', revocation: session(id, id) }) })

function publisherFor({ log, lifecycle }: Base, brokers: string, topic: string) {
  return createKafkaPublisher({ brokers: brokers.split(','), topic, longestLifetimeS: () => 300 }, 'a', log, lifecycle)
}

const idsOf = async (brokers: string, topic: string) =>
  (await readTopic(brokers, topic, ISSUER)).map((read) =>
    read.type === 'revocation' && read.revocation.kind === 'session' ? read.revocation.sid : read.type,
  )

test('a broker that is killed and started again: the publisher recovers, and everything arrives', own, async (t) => {
  const server = await startKafka()
  t.teardown(() => server.stop())
  const parts = base(t)
  const topic = uniqueName('publisher')
  const ledger = memoryLedger()
  const publisher = publisherFor(parts, server.url, topic)
  startOutbox({ ...parts, ledger, publisher, sign, instance: 'a', clock, intervalMs: 200 })
  const ids: string[] = []
  const logOut = async (count: number) => {
    for (let n = 0; n < count; n++) {
      const id = `s${ids.length}`
      ids.push(id)
      await ledger.record([entry(session(id))])
      const began = performance.now()
      // As a logout does it: one try, the outbox does the rest.
      await publisher.publish([event(id)]).then(
        () => ledger.markPublished([`session:${id}`]),
        () => {},
      )
      t.ok(performance.now() - began < 20_000)
    }
  }
  await eventually(() => publisher.check().ok, { within: 60_000 })
  await logOut(5)
  await server.kill()
  await logOut(5)
  await eventually(() => !publisher.check().ok, { within: 60_000 })
  const refused: number[] = []
  for (let n = 0; n < 5; n++) {
    const began = performance.now()
    await logOut(1)
    refused.push(performance.now() - began)
  }
  t.ok(Math.min(...refused) < 500, 'while it is known to be away, no logout waits')
  await server.start()
  await eventually(() => ledger.entries.every(({ published }) => published), { within: 60_000 })
  await logOut(5)
  // One that was refused is the outbox's to publish.
  await eventually(() => ledger.entries.every(({ published }) => published), { within: 60_000 })
  const arrived = await idsOf(server.url, topic)
  t.same(
    ids.filter((id) => !arrived.includes(id)),
    [],
  )
})

test('a broker that hangs: publish is refused within the deadline, and works again afterwards', own, async (t) => {
  const server = await startKafka()
  t.teardown(() => server.stop())
  const topic = uniqueName('publisher')
  const publisher = publisherFor(base(t), server.url, topic)
  await eventually(() => publisher.check().ok, { within: 60_000 })
  await publisher.publish([event('before')])
  server.pause()
  const began = performance.now()
  await Promise.all([
    t.rejects(publisher.publish([event('first')])),
    t.rejects(publisher.publish([event('behind it')]), 'what waits behind it is refused with it'),
  ])
  t.ok(performance.now() - began < 20_000)
  t.notOk(publisher.check().ok)
  server.resume()
  await eventually(() => publisher.check().ok, { within: 60_000 })
  await publisher.publish([event('after')])
  const arrived = await idsOf(server.url, topic)
  t.equal(arrived[0], 'before')
  // What the old connection had brought may still be written, before or after what the new one brings.
  t.ok(arrived.includes('after'), arrived.join())
})
