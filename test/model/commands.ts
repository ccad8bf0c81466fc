import fc from 'fast-check'
import type { Outcome } from './world.ts'

export const ISSUERS = 2
export const SIDECARS = 2
export const SESSIONS = 3

/** One step of a run: data only, so that a trace can be kept. Places and numbers are taken modulo what there is. */
export type Command =
  | ['logout', session: number, issuer: number, all: boolean]
  /** A logout whose issuer crashes after so many of its steps. */
  | ['interrupted', session: number, issuer: number, steps: number]
  | ['refresh', session: number, issuer: number]
  /** The issuer begins a round of its outbox, whose end is a heartbeat. */
  | ['round', issuer: number]
  /** The same, but the answer to its first read takes its time. */
  | ['slow round', issuer: number]
  /** One thing that was asked for happens, in whatever order. */
  | ['deliver', place: number, outcome: Outcome]
  /** All that was asked for happens; slow answers arrive; the sidecars may read all there is. */
  | ['settle', read: boolean]
  | ['tick', ms: number]
  /** Everything that is up works, once after each step of time; slow answers stay away. */
  | ['live', ms: number, steps: number]
  /** The same, but no sidecar reads anything. */
  | ['unread', ms: number, steps: number]
  | ['crash', issuer: number, executed: number]
  | ['start', issuer: number]
  | ['reconnect', issuer: number]
  | ['stall', whether: boolean]
  | ['fetch', sidecar: number, partition: number, count: number]
  | ['rejoin', sidecar: number]
  | ['restart', sidecar: number]
  | ['connect', sidecar: number, issuer: number]
  | ['disconnect', sidecar: number]
  | ['follow', sidecar: number, count: number]
  | ['reconcile', sidecar: number, issuer: number]
  /** A clock goes to another place within the leeway. */
  | ['skew', process: number, permille: number]
  /** The session store loses its last writes. */
  | ['resurrect']
  /** The broker loses what it had acknowledged. */
  | ['lose', partition: number, count: number]

/** One run: what is fixed from the beginning, and what happens. */
export interface Run {
  partitions: number
  /** How far two clocks may be apart: milliseconds. */
  apartMs: number
  commands: Command[]
}

const issuer = fc.nat(ISSUERS - 1)
const sidecar = fc.nat(SIDECARS - 1)
const session = fc.nat(SESSIONS - 1)
const few = fc.integer({ min: 1, max: 4 })
// About the deadlines and bounds there are: a publication's, a request's, staleness, lifetime, retention.
const ms = fc.constantFrom(1, 300, 1000, 2500, 6001, 12_000, 26_000, 45_000, 100_000, 330_000)

const step = <T extends Command>(weight: number, arbitrary: fc.Arbitrary<T>) => ({ weight, arbitrary })
const name = <T extends string>(text: T) => fc.constant(text)

const command: fc.Arbitrary<Command> = fc.oneof(
  step(6, fc.tuple(name('logout'), session, issuer, fc.boolean())),
  step(4, fc.tuple(name('interrupted'), session, issuer, fc.nat(5))),
  step(3, fc.tuple(name('refresh'), session, issuer)),
  step(6, fc.tuple(name('round'), issuer)),
  step(4, fc.tuple(name('slow round'), issuer)),
  step(
    10,
    fc.tuple(name('deliver'), fc.nat(5), fc.constantFrom<Outcome>('done', 'done', 'slow', 'lost', 'unanswered')),
  ),
  step(6, fc.tuple(name('settle'), fc.boolean())),
  step(7, fc.tuple(name('tick'), ms)),
  step(5, fc.tuple(name('live'), fc.constantFrom(300, 1000, 5000, 26_000), fc.integer({ min: 1, max: 3 }))),
  step(3, fc.tuple(name('unread'), fc.constantFrom(300, 1000, 5000, 26_000), few)),
  step(2, fc.tuple(name('crash'), issuer, fc.nat(7))),
  step(2, fc.tuple(name('start'), issuer)),
  step(2, fc.tuple(name('reconnect'), issuer)),
  step(2, fc.tuple(name('stall'), fc.boolean())),
  step(6, fc.tuple(name('fetch'), sidecar, fc.nat(1), fc.constantFrom(1, 2, 3, 20))),
  step(1, fc.tuple(name('rejoin'), sidecar)),
  step(1, fc.tuple(name('restart'), sidecar)),
  step(1, fc.tuple(name('connect'), sidecar, issuer)),
  step(1, fc.tuple(name('disconnect'), sidecar)),
  step(2, fc.tuple(name('follow'), sidecar, few)),
  step(1, fc.tuple(name('reconcile'), sidecar, issuer)),
  step(1, fc.tuple(name('skew'), fc.nat(ISSUERS + SIDECARS - 1), fc.nat(1000))),
  step(1, fc.tuple(name('resurrect'))),
  step(1, fc.tuple(name('lose'), fc.nat(1), few)),
)

/** What brings to light how a run has ended: time, slow answers, and readers that are behind. */
const endings: Command[][] = [
  [],
  [
    ['tick', 26_000],
    ['settle', true],
  ],
  [
    ['settle', false],
    ['tick', 12_000],
    ['tick', 12_000],
    ['fetch', 0, 0, 1],
    ['tick', 12_000],
  ],
  [
    ['unread', 26_000, 1],
    ['fetch', 0, 0, 20],
    ['fetch', 1, 1, 20],
  ],
  [['resurrect'], ['refresh', 0, 0], ['refresh', 1, 1], ['settle', true]],
]

const commands = fc
  .tuple(fc.array(command, { minLength: 1, maxLength: 30, size: 'max' }), fc.constantFrom(...endings))
  .map(([some, ending]) => [...some, ...ending])

export const runs: fc.Arbitrary<Run> = fc.record({
  partitions: fc.integer({ min: 1, max: 2 }),
  apartMs: fc.constantFrom(0, 5000),
  commands,
})
