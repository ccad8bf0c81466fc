import fc from 'fast-check'
import { test } from 'tap'
import {
  type IssuerReport,
  MAX_LIFETIME_S,
  RECORD_DEADLINE_MS,
  SETTLE_MS,
} from '../../../issuer/domain/issuer-report.ts'
import { AGREED_SINCE_MS, createPeers, type Peers } from '../../../issuer/domain/peers.ts'
import { type IssuerReports, StoreUnavailable } from '../../../issuer/domain/ports.ts'
import { isPublished, KEYS_LEASE_MS, type StoredSigningKey } from '../../../issuer/domain/signing-key.ts'
import { readIssuerSettings } from '../../../issuer/settings.ts'
import { LEEWAY_S } from '../../../shared/clock.ts'
import { revocationExpiry } from '../../../shared/revocation.ts'
import { manualClock } from '../../helpers/revocations.ts'

const START_MS = 1_800_000_000_000

/** The store: its reports as a majority has them, with its own clock. */
function memoryReports(clock: { now(): number }): IssuerReports & { reports: Map<string, IssuerReport> } {
  const reports = new Map<string, IssuerReport>()
  const all = async () => [...reports.values()].map((report) => ({ ...report }))
  return {
    reports,
    all,
    exchange(own) {
      reports.set(own.instance, { ...own, at: clock.now() })
      return all()
    },
  }
}

function setUp() {
  const clock = manualClock(START_MS)
  const issuerReports = memoryReports(clock)
  const join = async (instance: string, lifetimeS: number, kafka = false) => {
    const peers = createPeers({ issuerReports, clock }, { instance, lifetimeS, kafka })
    await peers.exchange()
    return peers
  }
  return { clock, issuerReports, join }
}

test('the longest lifetime that may be configured is the one that is reckoned with', async (t) => {
  t.equal(readIssuerSettings({ ACCESS_TOKEN_TTL: `${MAX_LIFETIME_S}s` }).ACCESS_TOKEN_TTL, MAX_LIFETIME_S * 1000)
  t.throws(() => readIssuerSettings({ ACCESS_TOKEN_TTL: `${MAX_LIFETIME_S + 1}s` }), /ACCESS_TOKEN_TTL/)
})

test('the first issuer of a store does what it is configured to, and so does whoever has the same', async (t) => {
  const { join } = setUp()
  const one = await join('one', 300)
  t.equal(one.ownLifetimeS(), 300)
  const two = await join('two', 300)
  t.same(
    [one, two].flatMap((peers) => [peers.ownLifetimeS(), peers.longestLifetimeS(), peers.agreedLifetimeS()]),
    [300, 300, 300, 300, 300, 300],
  )
})

test('a longer lifetime is used as soon as everyone knows of it', async (t) => {
  const { clock, join } = setUp()
  const one = await join('one', 300)
  const two = await join('two', 3600)
  t.equal(two.ownLifetimeS(), 300)
  t.equal(two.longestLifetimeS(), 3600)
  t.equal(one.longestLifetimeS(), 300, 'what the first has read')
  for (let passed = 0; passed < SETTLE_MS; passed += 10_000) {
    t.equal(two.ownLifetimeS(), 300)
    clock.advance(10_000)
    await Promise.all([one.exchange(), two.exchange()])
    t.equal(one.longestLifetimeS(), 3600)
  }
  t.equal(two.ownLifetimeS(), 3600)
  t.equal(one.ownLifetimeS(), 300, 'and the other has its own')
  t.equal(one.agreedLifetimeS(), 300, 'entries from before have not been recorded with it')
  for (let passed = 0; passed <= AGREED_SINCE_MS; passed += 10_000) {
    clock.advance(10_000)
    await Promise.all([one.exchange(), two.exchange()])
  }
  t.same([one.agreedLifetimeS(), two.agreedLifetimeS()], [3600, 3600])
})

test('what was lowered counts until the last token from before has expired', async (t) => {
  const { clock, join } = setUp()
  await join('long', 3600)
  clock.advance(1000)
  const short = await join('short', 10)
  t.equal(short.ownLifetimeS(), 10, 'a shorter one is used at once')
  clock.advance(3_599_000)
  await short.exchange()
  t.equal(short.longestLifetimeS(), 3600)
  clock.advance(SETTLE_MS)
  await short.exchange()
  t.equal(short.longestLifetimeS(), 10)
})

test('an issuer that stood still for long tells the others again before it goes on as before', async (t) => {
  const { clock, join } = setUp()
  const long = await join('long', 3600)
  t.equal(long.ownLifetimeS(), 3600)
  clock.advance(2 * 3_600_000)
  const short = await join('short', 10)
  t.equal(short.longestLifetimeS(), 10)
  await long.exchange()
  t.equal(long.ownLifetimeS(), 10, 'the other has not heard of it')
  for (let passed = 0; passed < SETTLE_MS; passed += 10_000) {
    clock.advance(10_000)
    await Promise.all([long.exchange(), short.exchange()])
  }
  t.same([long.ownLifetimeS(), short.longestLifetimeS()], [3600, 3600])
})

test('a version that did not say how long its tokens live had the longest there is, for an hour', async (t) => {
  const { clock, issuerReports, join } = setUp()
  const before = { instance: 'before', lifetimeS: undefined, kafka: false, settledAt: START_MS, at: START_MS }
  issuerReports.reports.set('before', before)
  const peers = await join('one', 300)
  t.same([peers.ownLifetimeS(), peers.longestLifetimeS(), peers.reportedLifetimeS()], [300, MAX_LIFETIME_S, 300])
  clock.advance(MAX_LIFETIME_S * 1000 + SETTLE_MS)
  await peers.exchange()
  t.equal(peers.longestLifetimeS(), 300)
})

test('while the store is away the longest there is counts, and nothing is issued', async (t) => {
  const { clock, issuerReports, join } = setUp()
  await join('other', 600)
  const peers = await join('one', 300)
  const exchange = issuerReports.exchange
  issuerReports.exchange = async () => Promise.reject(new StoreUnavailable('the store', undefined))
  clock.advance(30_000)
  await t.rejects(peers.exchange(), StoreUnavailable)
  t.same([peers.ownLifetimeS(), peers.longestLifetimeS()], [300, 600], 'not at once')
  clock.advance(1)
  t.throws(() => peers.ownLifetimeS(), StoreUnavailable)
  t.equal(peers.longestLifetimeS(), MAX_LIFETIME_S)
  t.equal(peers.reportedLifetimeS(), 600)
  issuerReports.exchange = exchange
  await peers.exchange()
  t.equal(peers.ownLifetimeS(), 300)
})

test('whether there is Kafka is known as long as its sidecars may serve tokens', async (t) => {
  const { clock, join } = setUp()
  const without = await join('without', 300)
  t.notOk(without.someHaveKafka())
  const kafka = await join('with', 300, true)
  t.notOk(kafka.someHaveKafka(), 'its own is not meant')
  await without.exchange()
  t.ok(without.someHaveKafka())
  clock.advance(300_000 + SETTLE_MS)
  t.notOk(without.someHaveKafka())
})

// A model: issuers of any lifetimes come, go, and stand still; their clocks differ; the store is away now and then.

interface Token {
  iat: number
  exp: number
}

/** Whether a sidecar of any allowed clock may take the token at this true time. */
const isAccepted = ({ exp }: Token, atMs: number) => (exp + LEEWAY_S) * 1000 > atMs - (LEEWAY_S * 1000) / 2

const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('start' as const), lifetimeS: fc.constantFrom(10, 60, 300, 3600) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('stop' as const), who: fc.nat() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('freeze' as const),
      who: fc.nat(),
      forMs: fc.integer({ min: 1, max: 200_000 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('away' as const), forMs: fc.integer({ min: 1, max: 60_000 }) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), forMs: fc.integer({ min: 1, max: 400_000 }) }),
  },
)

interface Issuer {
  peers: Peers
  now(): number
  frozenUntil: number
  exchangeAt: number
}

test('whatever the issuers are configured to, a revocation outlives the tokens it concerns', async (t) => {
  let longTokens = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 3, maxLength: 25 }),
      fc.array(fc.integer({ min: -LEEWAY_S * 500, max: LEEWAY_S * 500 }), { minLength: 5, maxLength: 5 }),
      async (steps, skews) => {
        let nowMs = START_MS
        let awayUntil = 0
        const store = memoryReports({ now: () => nowMs + skews[0]! })
        const exchange = store.exchange
        store.exchange = async (own) => {
          if (nowMs < awayUntil) throw new StoreUnavailable('the store', undefined)
          return exchange(own)
        }
        const issuers: Issuer[] = []
        let tokens: Token[] = []
        /** What each may still record: reckoned now, there at the deadline. */
        let pending: { exp: number; recordedAtMs: number }[] = []
        let started = 0

        const passOneSecond = async () => {
          nowMs += 1000
          for (const issuer of issuers.filter(({ frozenUntil }) => frozenUntil <= nowMs)) {
            if (issuer.exchangeAt <= nowMs) {
              const done = await issuer.peers.exchange().then(
                () => true,
                () => false,
              )
              issuer.exchangeAt = nowMs + (done ? 10_000 : 1000)
            }
            try {
              const iat = Math.floor(issuer.now() / 1000)
              const exp = iat + issuer.peers.ownLifetimeS()
              if (exp - iat === MAX_LIFETIME_S) longTokens++
              // Any revocation that is on its way may concern it.
              for (const one of pending) {
                if (one.exp * 1000 < (exp + LEEWAY_S) * 1000) throw new Error(`${one.exp} < ${exp} + ${LEEWAY_S}`)
              }
              tokens.push({ iat, exp })
            } catch (error) {
              if (!(error instanceof StoreUnavailable)) throw error
            }
            const revocationExp = revocationExpiry(issuer.now() + RECORD_DEADLINE_MS, issuer.peers.longestLifetimeS())
            for (const token of tokens) {
              if (isAccepted(token, nowMs) && revocationExp < token.exp + LEEWAY_S) {
                throw new Error(`revoked until ${revocationExp}, but the token lives until ${token.exp}`)
              }
            }
            // A key that was retired as long before as it could still be used for it.
            for (const token of tokens) {
              const key = { state: 'retired', retiredAt: token.iat * 1000 - KEYS_LEASE_MS } as StoredSigningKey
              if (isAccepted(token, nowMs) && !isPublished(key, issuer.now(), issuer.peers.longestLifetimeS())) {
                throw new Error(`its key is gone, but the token lives until ${token.exp}`)
              }
            }
            pending.push({ exp: revocationExp, recordedAtMs: nowMs + RECORD_DEADLINE_MS })
          }
          tokens = tokens.filter((token) => isAccepted(token, nowMs)).slice(-2000)
          pending = pending.filter(({ recordedAtMs }) => recordedAtMs > nowMs)
        }

        for (const one of steps) {
          const issuer = 'who' in one ? issuers[one.who % Math.max(1, issuers.length)] : undefined
          switch (one.kind) {
            case 'start': {
              const skew = skews[1 + (started % 4)]!
              const now = () => nowMs + skew
              const own = { instance: String(started++), lifetimeS: one.lifetimeS, kafka: false }
              const peers = createPeers({ issuerReports: store, clock: { now } }, own)
              // Without a first exchange it does not start.
              const here = await peers.exchange().then(
                () => true,
                () => false,
              )
              if (here && issuers.length < 4) {
                issuers.push({ peers, now, frozenUntil: 0, exchangeAt: nowMs + 10_000 })
              }
              break
            }
            case 'stop':
              if (issuer) issuers.splice(issuers.indexOf(issuer), 1)
              break
            case 'freeze':
              if (issuer) issuer.frozenUntil = nowMs + one.forMs
              break
            case 'away':
              awayUntil = nowMs + one.forMs
              break
          }
          const untilMs = nowMs + (one.kind === 'wait' ? one.forMs : 1000)
          while (nowMs < untilMs) await passOneSecond()
        }
      },
    ),
    { numRuns: 60 },
  )
  t.ok(longTokens > 0, 'and tokens of the longest lifetime were among them')
})
