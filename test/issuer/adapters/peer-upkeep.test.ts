import { test } from 'tap'
import { startPeerUpkeep } from '../../../issuer/adapters/peer-upkeep.ts'
import type { Peers } from '../../../issuer/domain/peers.ts'
import { StoreUnavailable } from '../../../issuer/domain/ports.ts'
import { eventually } from '../../helpers/eventually.ts'
import { base } from '../../helpers/revocations.ts'

test('the store is asked again when it was away, and each difference is told once', async (t) => {
  const { log, lines, lifecycle } = base(t)
  const outcomes = [false, false, true, true, true]
  let exchanges = 0
  const peers: Peers = {
    ownLifetimeS: () => 300,
    longestLifetimeS: () => 3600,
    reportedLifetimeS: () => 3600,
    agreedLifetimeS: () => 300,
    someHaveKafka: () => exchanges >= 3,
    lifetimesAtWork: () => (exchanges >= 3 ? [3600, 300, 3600] : []),
    // As after a sleep of the machine: it is asked at once.
    areKnown: () => false,
    async exchange() {
      if (!outcomes[exchanges++]) throw new StoreUnavailable('the store', new Error('is away'))
    },
  }
  startPeerUpkeep({ peers, own: { lifetimeS: 300, kafka: false }, log, lifecycle })
  await eventually(() => exchanges >= outcomes.length, { within: 60_000 })
  await lifecycle.close()
  const said = lines.map((line) => JSON.parse(line))
  t.match(said, [
    { level: 50, msg: /cannot be exchanged/ },
    { level: 30, msg: /hear of each other again/ },
    { level: 50, msg: /KAFKA_BROKERS/ },
    { level: 40, own: 300, others: [3600], msg: /ACCESS_TOKEN_TTL/ },
  ])
  t.equal(said.length, 4)
})
