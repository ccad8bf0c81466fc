import { mock } from 'node:test'
import { StoreUnavailable } from '../../issuer/domain/ports.ts'
import type { Clock } from '../../shared/clock.ts'

/** One process of the model. Its clock is `skewMs` ahead of the true time. */
export interface Process {
  name: string
  up: boolean
  /** Counts its starts: what an earlier one asked for is not answered any more. */
  life: number
  skewMs: number
}

/** Something a process has asked of a server and not heard of yet. */
interface Operation {
  owner: Process
  life: number
  server: 'store' | 'broker'
  execute(): unknown
  /** What it came to, once it has happened: its answer is under way. */
  done?: { value: unknown }
  resolve(value: unknown): void
  reject(error: unknown): void
}

/**
 * What becomes of an operation: it happens and is answered; it happens and the answer takes its time; it never happens;
 * it happens and the answer is lost.
 */
export type Outcome = 'done' | 'slow' | 'lost' | 'unanswered'

export interface World {
  /** The true time: milliseconds. */
  readonly now: number
  /** While it stalls, the broker does nothing. */
  brokerStalls: boolean
  clockOf(process: Process): Clock
  /** Asks a server for something; nothing happens before {@link deliver}. What a dead process asks for never happens. */
  ask<T>(owner: Process, server: Operation['server'], execute: () => T): Promise<T>
  /** Lets the operation at this place (modulo their number) happen, among those of one process if one is given. */
  deliver(place: number, outcome: Outcome, owner?: Process): Promise<void>
  /** Delivers in order until nothing is asked for any more. @param slow whether slow answers come too */
  settle(slow: boolean): Promise<void>
  /** Ends a process; of what it has asked for, `executed` says one by one what still happens. */
  crash(process: Process, executed: (index: number) => boolean): void
  /** Lets time pass, and timers go off. */
  tick(ms: number): Promise<void>
  /** Gives the processes time to go on until they wait for something. */
  rest(): Promise<void>
  end(): void
}

export const START_MS = 1_800_000_000_000
/** More than any run needs; beyond it something asks in a circle. */
const MOST_STEPS = 2000

/**
 * A scheduler with its own time: nothing happens unless it is told to, so that a run is what its commands say and no
 * more. Timers of the code under test are its own too.
 */
export function createWorld(): World {
  let now = START_MS
  let pending: Operation[] = []
  mock.timers.enable({ apis: ['setTimeout'] })
  // By hand, for a mock would keep every call, and all that hangs on it.
  const monotonic = performance.now
  performance.now = () => now - START_MS

  const isAlive = ({ owner, life }: Pick<Operation, 'owner' | 'life'>) => owner.up && owner.life === life
  // Everything between two operations is microtasks and ticks: a turn of the event loop is behind all of them.
  const rest = () => new Promise<void>((resolve) => setImmediate(resolve))
  const isDue = ({ server }: Operation) => server !== 'broker' || !world.brokerStalls

  const happen = (operation: Operation, outcome: Outcome) => {
    if (outcome !== 'lost') operation.done ??= { value: operation.execute() }
    if (outcome === 'slow') return
    pending = pending.filter((one) => one !== operation)
    if (!isAlive(operation)) return
    if (outcome === 'done') operation.resolve(operation.done?.value)
    else operation.reject(new StoreUnavailable(`the ${operation.server} of the model`, outcome))
  }

  const world: World = {
    get now() {
      return now
    },
    brokerStalls: false,
    clockOf: (process) => ({ now: () => now + process.skewMs }),
    ask(owner, server, execute) {
      const { life } = owner
      return new Promise((resolve, reject) => {
        if (owner.up) pending.push({ owner, life, server, execute, resolve: resolve as never, reject })
      })
    },
    async deliver(place, outcome, owner) {
      const due = pending.filter((one) => isDue(one) && (!owner || one.owner === owner))
      if (due.length === 0) return
      happen(due.at(place % due.length)!, outcome)
      await rest()
    },
    async settle(slow) {
      await rest()
      for (let steps = 0; ; steps++) {
        const next = pending.find((one) => isDue(one) && (slow || !one.done))
        if (!next) return
        if (steps > MOST_STEPS) throw new Error('the model asks in a circle')
        happen(next, 'done')
        await rest()
      }
    },
    crash(process, executed) {
      process.up = false
      const own = pending.filter(({ owner }) => owner === process)
      pending = pending.filter(({ owner }) => owner !== process)
      own.forEach((operation, index) => {
        if (executed(index) && !operation.done) operation.execute()
      })
    },
    async tick(ms) {
      now += ms
      mock.timers.tick(ms)
      await rest()
    },
    rest,
    end() {
      mock.timers.reset()
      performance.now = monotonic
    },
  }
  return world
}
