import { connect } from 'node:net'
import { claimsOf } from '../../test/helpers/client.ts'

// Many readers of one issuer's stream (`GET /revocations`) in one process, each as cheap as may be: it looks for ids, and
// only the first one reads what the events say. It says `ready` when every one has had its whole snapshot, and when
// each has had as many revocations as it was told to expect, in a line of JSON, when each of them came.

export interface StreamClients {
  /** The issuer's. */
  url: string
  token: string
  count: number
  /** Revocations after which this ends. */
  expected: number
  /** Connections opened at once. */
  atOnce: number
}

/** By session: when it came to the first and to the last reader: CLOCK_MONOTONIC, milliseconds. */
export type Arrivals = Record<string, { first: number; last: number; readers: number }>

const FRAME = /id: [\w-]+\.(\d+)\nevent: set\ndata: (\S+)\n\n/g
/** No frame that is looked for is longer: bytes. */
const LONGEST = 4096

const { url, token, count, expected, atOnce } = JSON.parse(process.argv[2]!) as StreamClients
const { hostname, port, host } = new URL(url)
/** By place in the stream, the same for all readers of one issuer. */
const arrivals = new Map<number, Arrivals[string]>()
const sids = new Map<number, string>()
const done = Promise.withResolvers<void>()
let finished = 0

for (let from = 0; from < count; from += atOnce) {
  await Promise.all(Array.from({ length: Math.min(atOnce, count - from) }, (_, i) => read(from + i === 0)))
}
process.stdout.write('ready\n')
if (expected > 0) {
  await done.promise
  const bySid = [...arrivals].map(([place, arrival]) => [sids.get(place), arrival] as const)
  process.stdout.write(`${JSON.stringify(Object.fromEntries(bySid))}\n`)
}
// Idle until it is ended: what is measured is the issuer.

/** Resolves at the end of the snapshot. */
function read(isFirst: boolean): Promise<void> {
  const begun = Promise.withResolvers<void>()
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  let kept = ''
  let place: number | undefined
  let heard = 0
  const event = (at: number, set: string) => {
    if (place === undefined) begun.resolve()
    const isNew = place !== undefined && at > place
    place = at
    if (!isNew) return
    const now = Number(process.hrtime.bigint()) / 1e6
    if (isFirst) sids.set(at, sidOf(set))
    const known = arrivals.get(at)
    if (known) Object.assign(known, { last: now, readers: known.readers + 1 })
    else arrivals.set(at, { first: now, last: now, readers: 1 })
    if (++heard === expected && ++finished === count) done.resolve()
  }
  socket.setEncoding('latin1')
  socket.on('data', (chunk: string) => {
    kept += chunk
    let end = 0
    for (const found of kept.matchAll(FRAME)) {
      event(Number(found[1]), found[2]!)
      end = found.index + found[0].length
    }
    kept = kept.slice(Math.max(end, kept.length - LONGEST))
  })
  socket.on('close', () => {
    if (place !== undefined) throw new Error('the issuer closed a stream')
    // Its store was too slow for it: as a sidecar, one tries again.
    process.stdout.write('failed\n')
    setTimeout(() => read(isFirst).then(begun.resolve), 1000)
  })
  socket.on('error', () => {})
  socket.write(`GET /revocations HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${token}\r\n\r\n`)
  return begun.promise
}

function sidOf(set: string): string {
  const { sub_id } = claimsOf(set) as unknown as { sub_id: { session: { id: string } } }
  return sub_id.session.id
}
