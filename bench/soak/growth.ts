import { median } from '../report.ts'

/** One look at the memory: after so many requests, so many bytes. */
export interface Sample {
  requests: number
  bytes: number
}

/** As much a request may leave behind: bytes. The smallest thing that could be kept for each is larger. */
export const TOLERATED = 16
/** As much may come that has nothing to do with their number, such as compiled code: bytes. */
export const ONCE = 2_000_000

interface Growth {
  /** The medians of the first and of the last third: bytes. */
  first: number
  last: number
  /** From the one to the other: bytes a request. */
  slope: number
  grew: boolean
}

/**
 * Whether memory grows with the number of requests. Medians, so that what is under way at the time of a look does not
 * count.
 * @param samples at least three, in their order
 */
export function growthOf(samples: readonly Sample[]): Growth {
  const third = Math.floor(samples.length / 3)
  const [first, last] = [samples.slice(0, third), samples.slice(-third)].map((part) => ({
    bytes: median(part.map(({ bytes }) => bytes)),
    requests: median(part.map(({ requests }) => requests)),
  })) as [Sample, Sample]
  const slope = (last.bytes - first.bytes) / (last.requests - first.requests)
  return { first: first.bytes, last: last.bytes, slope, grew: slope > TOLERATED && last.bytes - first.bytes > ONCE }
}
