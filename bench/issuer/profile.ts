import { readFileSync } from 'node:fs'

/** The part of the format of `--cpu-prof` that is needed. */
interface CpuProfile {
  nodes: {
    id: number
    callFrame: { functionName: string; url: string }
    children?: number[]
  }[]
  samples: number[]
  timeDeltas: number[]
}

// Where time goes, by the first row that a function or one of its callers matches, from the inside out. Node's own
// functions belong to whoever called them: the parsing of JSON to the body's parser, a socket's write to its driver.
const PARTS: [name: string, pattern: RegExp][] = [
  ['MongoDB driver', /\/node_modules\/(mongodb|bson|mongodb-connection-string-url)\//],
  ['Redis driver', /\/node_modules\/(ioredis|redis-parser|standard-as-callback|redis-errors|@ioredis)\//],
  [
    'log',
    /\/node_modules\/(pino|sonic-boom|thread-stream|@pinojs|pino-std-serializers|quick-format-unescaped|safe-stable-stringify)\/|\/shared\/log\.ts|\/http\/request-log\.ts/,
  ],
  ['metrics', /\/node_modules\/prom-client\//],
  ['Kafka driver', /\/node_modules\/kafkajs\//],
  ['signing', /\/shared\/jws\.ts/],
  ['refresh token', /\/domain\/refresh-token\.ts/],
  [
    'schema checks and JSON',
    /\/node_modules\/(ajv|ajv-formats|fast-json-stringify|@fastify\/(ajv-compiler|fast-json-stringify-compiler)|rfdc|secure-json-parse)\/|\/http\/json-body\.ts/,
  ],
  [
    'framework and plugins',
    /\/node_modules\/(fastify|@fastify|find-my-way|avvio|light-my-request|cookie|helmet|reusify|fastq|process-warning|rate-limiter-flexible|proxy-addr)\//,
  ],
  ['issuer', /\/issuer\/|\/shared\//],
  ['HTTP server of Node', /node:(_http|internal\/http|http)/],
]
const NATIVE = new Map([
  ['(garbage collector)', 'garbage collection'],
  ['(program)', 'native, not in JavaScript'],
])

/**
 * Sums a profile up by parts of the program.
 * @returns the share of each part of the time that was not idle, the largest first
 */
export function summarize(file: string): { part: string; share: number }[] {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(file, 'utf8')) as CpuProfile
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const parentOf = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)))
  const partOf = (id: number): string => {
    const native = NATIVE.get(byId.get(id)!.callFrame.functionName)
    if (native) return native
    for (let at: number | undefined = id; at !== undefined; at = parentOf.get(at)) {
      const { url } = byId.get(at)!.callFrame
      const found = PARTS.find(([, pattern]) => pattern.test(url))
      if (found) return found[0]
    }
    return 'Node itself'
  }
  const known = new Map<number, string>()
  const spent = new Map<string, number>()
  for (const [i, id] of samples.entries()) {
    if (byId.get(id)!.callFrame.functionName === '(idle)') continue
    const part = known.get(id) ?? partOf(id)
    known.set(id, part)
    spent.set(part, (spent.get(part) ?? 0) + timeDeltas[i]!)
  }
  const all = [...spent.values()].reduce((sum, us) => sum + us, 0)
  return [...spent].map(([part, us]) => ({ part, share: us / all })).sort((a, b) => b.share - a.share)
}
