import { LRUCache } from 'lru-cache'

/** Events kept for those who come back after a broken connection: about 4 MB. */
const MAX_KEPT = 5000
/** Ids remembered so that what the tail reads twice goes out once; forgetting one costs a harmless repetition. */
const MAX_IDS = 100_000

export interface RecentEvents {
  /** Enters one event. @returns it as a frame; `undefined` when this id went out already */
  add(id: string, sign: () => string): string | undefined
  /** A frame that is not kept, at the place the stream has reached. */
  frame(token: string, at?: number): string
  /** The place the stream has reached. */
  position(): number
  /** The frames after the one with this id; `undefined` when they are no longer all there. */
  since(lastEventId: string): string[] | undefined
  /** The same for a place. */
  after(place: number): string[] | undefined
  /** Forgets all, because the stream had a gap. */
  clear(): void
}

/**
 * The end of the event stream, as Server-Sent Events. An id is the issuer process and the number of revocations sent
 * so far, so that a heartbeat's id names the same place as the revocation before it.
 */
export function createRecentEvents(instance: string): RecentEvents {
  const ids = new LRUCache<string, true>({ max: MAX_IDS })
  let kept: string[] = []
  let position = 0
  const frame = (token: string, at = position) => `id: ${instance}.${at}\nevent: set\ndata: ${token}\n\n`
  const after = (place: number) => {
    const missed = position - place
    return missed >= 0 && missed <= kept.length ? kept.slice(kept.length - missed) : undefined
  }
  return {
    add(id, sign) {
      if (ids.has(id)) return undefined
      const token = sign()
      ids.set(id, true)
      position++
      const added = frame(token)
      kept.push(added)
      // In steps, for each one moves the whole array.
      if (kept.length > 2 * MAX_KEPT) kept = kept.slice(-MAX_KEPT)
      return added
    },
    frame,
    position: () => position,
    since(lastEventId) {
      const [prefix, number] = [lastEventId.slice(0, instance.length + 1), lastEventId.slice(instance.length + 1)]
      if (prefix !== `${instance}.` || !/^\d{1,15}$/.test(number)) return undefined
      return after(Number(number))
    },
    after,
    clear() {
      kept = []
      ids.clear()
      // Whoever stood at the last place has missed something now.
      position++
    },
  }
}
