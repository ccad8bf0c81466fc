import { readdirSync, readFileSync } from 'node:fs'

/** CPU time of a process so far, by what its threads are for: seconds, to 10 ms a thread. */
export interface ThreadCost {
  /** libuv's pool: nothing but password hashing is busy there. */
  hashingS: number
  /** The event loop. */
  loopS: number
  /** The garbage collector's and the compiler's helpers. */
  helpersS: number
}

const TICKS_PER_SECOND = 100

/** Linux only. @throws Error when there is no such process */
export function threadCostOf(pid: number): ThreadCost {
  const cost: ThreadCost = { hashingS: 0, loopS: 0, helpersS: 0 }
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')
    // The second field, the thread's name in parentheses, may hold anything.
    const [, name = '', rest = ''] = /^\d+ \((.*)\) (.*)$/s.exec(stat) ?? []
    const fields = rest.split(' ')
    const kind = Number(thread) === pid ? 'loopS' : name.startsWith('libuv-worker') ? 'hashingS' : 'helpersS'
    cost[kind] += (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
  }
  return cost
}

export function minus(after: ThreadCost, before: ThreadCost): ThreadCost {
  return {
    hashingS: after.hashingS - before.hashingS,
    loopS: after.loopS - before.loopS,
    helpersS: after.helpersS - before.helpersS,
  }
}

export function total({ hashingS, loopS, helpersS }: ThreadCost): number {
  return hashingS + loopS + helpersS
}
