import { readFileSync } from 'node:fs'

/** The part of the format of `--cpu-prof` that is needed; times in µs. */
interface CpuProfile {
  nodes: {
    id: number
    callFrame: { functionName: string; url: string }
    children?: number[]
  }[]
  samples: number[]
  timeDeltas: number[]
}

/** A part of a program, and what the addresses of its files look like. */
export type Part = readonly [name: string, pattern: RegExp]

const NATIVE = new Map([
  ['(garbage collector)', 'garbage collection'],
  ['(program)', 'native, not in JavaScript'],
])

/**
 * Sums a profile up by parts of the program: by the first part that a function or one of its callers matches, from the
 * inside out. So Node's own functions belong to whoever called them: the parsing of JSON to the body's parser, a socket's
 * write to its driver, unless there is a part for them.
 * @param fromS leaves out what was before, as is the start of the program: seconds since the profile began
 * @returns the share of each part of the time that was not idle, the largest first
 */
export function summarize(file: string, parts: readonly Part[], fromS = 0): { part: string; share: number }[] {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(file, 'utf8')) as CpuProfile
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const parentOf = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)))
  const partOf = (id: number): string => {
    const native = NATIVE.get(byId.get(id)!.callFrame.functionName)
    if (native) return native
    for (let at: number | undefined = id; at !== undefined; at = parentOf.get(at)) {
      const { url } = byId.get(at)!.callFrame
      const found = parts.find(([, pattern]) => pattern.test(url))
      if (found) return found[0]
    }
    return 'Node itself'
  }
  const known = new Map<number, string>()
  const spent = new Map<string, number>()
  let atS = 0
  for (const [i, id] of samples.entries()) {
    atS += timeDeltas[i]! / 1e6
    if (atS < fromS || byId.get(id)!.callFrame.functionName === '(idle)') continue
    const part = known.get(id) ?? partOf(id)
    known.set(id, part)
    spent.set(part, (spent.get(part) ?? 0) + timeDeltas[i]!)
  }
  const all = [...spent.values()].reduce((sum, us) => sum + us, 0)
  return [...spent].map(([part, us]) => ({ part, share: us / all })).sort((a, b) => b.share - a.share)
}
