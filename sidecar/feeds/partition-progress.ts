/** How far each partition of the topic has been read, and what that proves. */
export interface PartitionProgress {
  /** These partitions exist as well. */
  expect(partitions: readonly number[]): void
  /** Everything up to this offset has been read. */
  read(partition: number, offset: string): void
  /** A heartbeat was read: all that was committed before this instant stands before it. Milliseconds. */
  proven(partition: number, completeUntilMs: number): void
}

/**
 * @param offsets where each partition began and ended when reading began; an empty one is done at once
 * @param onProven told, once everything has been read that was there at the beginning, up to when all partitions together
 *   are complete: the least of them, in milliseconds
 */
export function createPartitionProgress(
  offsets: readonly { partition: number; low: string; high: string }[],
  onProven: (completeUntilMs: number) => void,
): PartitionProgress {
  const ends = new Map<number, bigint>()
  const until = new Map<number, number>()
  for (const { partition, low, high } of offsets) {
    until.set(partition, Number.NEGATIVE_INFINITY)
    if (low !== high) ends.set(partition, BigInt(high))
  }
  const tell = () => {
    const least = Math.min(...until.values())
    if (ends.size === 0 && Number.isFinite(least)) onProven(least)
  }
  return {
    expect(partitions) {
      for (const partition of partitions) if (!until.has(partition)) until.set(partition, Number.NEGATIVE_INFINITY)
    },
    read(partition, offset) {
      const end = ends.get(partition)
      if (end === undefined || BigInt(offset) + 1n < end) return
      ends.delete(partition)
      tell()
    },
    proven(partition, completeUntilMs) {
      if (completeUntilMs <= (until.get(partition) ?? Number.NEGATIVE_INFINITY)) return
      until.set(partition, completeUntilMs)
      tell()
    },
  }
}
