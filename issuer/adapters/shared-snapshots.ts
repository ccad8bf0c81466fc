import type { RecentEvents } from './recent-events.ts'
import type { SnapshotReading } from './snapshot.ts'
import type { Frame } from './subscriber.ts'

/** How long a snapshot is given to whoever comes after all of it has been read: milliseconds. */
const SHARED_MS = 1000
/**
 * Snapshots in memory at most: the one that is shared, and the one before, which slow readers still take. It is some
 * 130 bytes for each entry.
 */
const MAX_HELD = 2
/**
 * How old one may be that is given to somebody: milliseconds. A sidecar that mends its list misses what was recorded 45 s
 * ago, by clocks that may be 10 s apart.
 */
const OLDEST_MS = 20_000

export interface SharedSnapshotsOptions {
  read(): SnapshotReading
  recent: Pick<RecentEvents, 'position' | 'after'>
  /** Makes the frame of the event that closes a snapshot, whose id is this place of the stream. */
  close(event: ReturnType<SnapshotReading['end']>, at: number): string
  /** Told of each snapshot that is given to somebody, and whether the ledger is read for it. */
  onGiven(from: 'ledger' | 'shared'): void
}

export interface SharedSnapshots {
  /**
   * @param came the place of the stream from which on the reader gets every event
   * @returns the frames of a snapshot and the events between it and that place; `undefined` when none can be shared, and
   * no more may be held
   */
  take(came: number): AsyncGenerator<Frame> | undefined
  /** The stream has a gap: nobody may go on from what was read before it. */
  forget(): void
}

interface Snapshot extends Pick<SnapshotReading, 'end'> {
  /** What was sent up to here was committed before the ledger was read. */
  position: number
  begunAt: number
  /** When all of it had been read. */
  madeAt?: number
  readers: number
  items: AsyncGenerator<Buffer>
  first: Following<Buffer>
}

/**
 * Lets those who ask for a snapshot at about the same time have the same one, each at its own pace: the quickest has the
 * ledger read on, the others follow in memory. Each gets the claim of the instant at which the read began, and from the
 * stream all that came since then. The signature at the end is made for each, so that a key that was replaced meanwhile
 * signs none.
 */
export function createSharedSnapshots({ read, recent, close, onGiven }: SharedSnapshotsOptions): SharedSnapshots {
  const held = new Set<Snapshot>()
  let newest: Snapshot | undefined

  const drop = (snapshot: Snapshot) => {
    held.delete(snapshot)
    if (newest === snapshot) newest = undefined
  }
  const begin = () => {
    const { entries, end } = read()
    const watched = async function* () {
      try {
        yield* entries
        snapshot.madeAt = performance.now()
      } catch (error) {
        drop(snapshot)
        throw error
      }
    }
    const items = watched()
    const [position, begunAt] = [recent.position(), performance.now()]
    const snapshot: Snapshot = { position, begunAt, readers: 0, items, first: remembered(items), end }
    held.add(snapshot)
    newest = snapshot
    return snapshot
  }

  /** What the stream has sent between the snapshot and the place; `undefined` when that is not known any more. */
  const between = ({ position }: Snapshot, came: number) =>
    came <= position ? [] : recent.after(position)?.slice(0, came - position)

  const isShared = ({ begunAt, madeAt }: Snapshot) => {
    const now = performance.now()
    if (now - begunAt > OLDEST_MS) return false
    return madeAt === undefined || now - madeAt < SHARED_MS || held.size >= MAX_HELD
  }

  const leave = (snapshot: Snapshot) => {
    if (--snapshot.readers > 0) return
    const { madeAt, items } = snapshot
    const dropUnread = () => {
      if (snapshot.readers === 0) drop(snapshot)
    }
    if (madeAt !== undefined && newest === snapshot) {
      return void setTimeout(dropUnread, madeAt + SHARED_MS - performance.now()).unref()
    }
    drop(snapshot)
    // It may be waiting for the store; whatever becomes of that, nobody waits for it.
    void items.return(undefined).catch(() => {})
  }

  const give = async function* (snapshot: Snapshot, came: number, missed: readonly string[]) {
    snapshot.readers++
    try {
      for (let piece = await snapshot.first(); piece; piece = await piece.next()) yield piece.value
      yield close(snapshot.end(), Math.min(came, snapshot.position))
      yield* missed
    } finally {
      leave(snapshot)
    }
  }

  return {
    take(came) {
      const missed = newest && isShared(newest) ? between(newest, came) : undefined
      if (newest && missed) {
        onGiven('shared')
        return give(newest, came, missed)
      }
      if (newest?.readers === 0) drop(newest)
      if (held.size >= MAX_HELD) return undefined
      onGiven('ledger')
      return give(begin(), came, [])
    },
    forget() {
      newest = undefined
    },
  }
}

interface Piece<T> {
  value: T
  next: Following<T>
}
type Following<T> = () => Promise<Piece<T> | undefined>

/** Items that are taken only when the first one asks for them, and kept for the others. */
function remembered<T>(items: AsyncIterator<T>): Following<T> {
  let piece: Promise<Piece<T> | undefined> | undefined
  return () => {
    piece ??= items.next().then(({ done, value }) => (done ? undefined : { value, next: remembered(items) }))
    return piece
  }
}
