import { randomUUID } from 'node:crypto'
// SQLite's answer is there before anyone else could ask: who loops leaves the turn to the others.
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { test } from 'tap'
import type { Ledger, LedgerCursor, LedgerEntry } from '../../issuer/domain/ports.ts'
import { type Revocation, revocationId } from '../../shared/revocation.ts'
import { ADAPTERS } from '../helpers/stores.ts'

const nowS = Math.floor(Date.now() / 1000)
const KEEP_MS = 3_600_000

function entryOf(revocation: Revocation): LedgerEntry {
  return { id: revocationId(revocation), revocation, keepUntilMs: Date.now() + KEEP_MS }
}

function aSessionEntry(exp = nowS + 310): LedgerEntry {
  return entryOf({ kind: 'session', sid: randomUUID(), sub: randomUUID(), exp })
}

const idsOf = (entries: LedgerEntry[]) => entries.map(({ id }) => id)

async function liveIds(ledger: Ledger, instance = 'reader', at = nowS): Promise<string[]> {
  const ids: string[] = []
  for await (const batch of ledger.live(instance, at)) ids.push(...batch.map(revocationId))
  return ids
}

for (const { name, skip, place } of ADAPTERS) {
  test(`the ledger in ${name}`, { skip }, async (t) => {
    async function replicas(t: Parameters<typeof place>[0]) {
      const here = await place(t)
      const [one, two] = await Promise.all([here.open(), here.open()])
      return { here, ledger: one.ledger, other: two.ledger }
    }

    t.test('what was recorded is read as it was written, by every replica', async (t) => {
      const { here, ledger, other } = await replicas(t)
      const entries = [
        entryOf({ kind: 'session', sid: '$sid.with "signs" \u{1F6AA}', sub: '$sub', exp: nowS + 310 }),
        entryOf({ kind: 'user', sub: randomUUID(), epoch: 7, exp: nowS + 310 }),
        entryOf({ kind: 'key', kid: 'kid', exp: 4_102_444_800 }),
      ]
      await ledger.record(entries)
      const sorted = (list: LedgerEntry[]) => [...list].sort((a, b) => (a.id < b.id ? -1 : 1))
      t.same(sorted(await other.unpublished('other', 10)), sorted(entries))
      t.same(sorted((await other.since('other', undefined, nowS)).entries), sorted(entries))
      t.same((await liveIds(other)).sort(), idsOf(entries).sort())
      t.same((await liveIds((await here.open()).ledger)).sort(), idsOf(entries).sort(), 'and by one that starts later')
      await t.resolves(ledger.record([]), 'nothing is recorded without a complaint')
      await t.resolves(ledger.markPublished([]))
    })

    t.test('a session is revoked by its own entry only', async (t) => {
      const { ledger, other } = await replicas(t)
      const sid = randomUUID()
      t.equal(await other.isSessionRevoked(sid), false)
      await ledger.record([
        entryOf({ kind: 'user', sub: sid, epoch: 1, exp: nowS + 310 }),
        entryOf({ kind: 'key', kid: sid, exp: nowS + 310 }),
        aSessionEntry(),
      ])
      t.equal(await other.isSessionRevoked(sid), false)
      await ledger.record([entryOf({ kind: 'session', sid, sub: 'sub', exp: nowS + 310 })])
      t.equal(await other.isSessionRevoked(sid), true)
    })

    t.test('after the last token has expired the session stays revoked', async (t) => {
      const { ledger } = await replicas(t)
      const entry = entryOf({ kind: 'session', sid: 'old', sub: 'sub', exp: nowS - 1 })
      await ledger.record([entry])
      t.equal(await ledger.isSessionRevoked('old'), true)
      t.same((await ledger.since('reader', undefined, nowS)).entries, [])
      t.same(await liveIds(ledger), [])
      t.same(await liveIds(ledger, 'reader', nowS - 2), [entry.id])
    })

    t.test('recording again is one entry, keeps the first and does not unpublish', async (t) => {
      const { ledger, other } = await replicas(t)
      const entry = aSessionEntry()
      const again = {
        ...entry,
        revocation: { ...entry.revocation, exp: nowS + 999 },
        keepUntilMs: entry.keepUntilMs + 1,
      }
      t.same(await ledger.record([entry, entry]), [entry.revocation, entry.revocation])
      const another = aSessionEntry()
      const recorded = await other.record([again, another])
      t.same(recorded, [entry.revocation, another.revocation], 'which is said of each')
      await other.markPublished([another.id])
      t.same(await ledger.unpublished('one', 10), [entry])
      await other.markPublished([entry.id])
      await ledger.record([again, entry])
      t.same(await ledger.unpublished('one', 10), [])
      const since = (await ledger.since('one', undefined, nowS)).entries
      t.same(
        since.filter(({ id }) => id === entry.id),
        [entry],
      )
      await ledger.markPublished([entry.id, 'session:unknown'])
      t.same(await ledger.unpublished('one', 10), [])
    })

    t.test('20 that record one entry at once are one entry', async (t) => {
      const { ledger, other } = await replicas(t)
      const entries = Array.from({ length: 5 }, () => aSessionEntry())
      await Promise.all(Array.from({ length: 20 }, (_, n) => (n % 2 ? ledger : other).record(entries)))
      t.same(idsOf(await ledger.unpublished('one', 100)).sort(), idsOf(entries).sort())
    })

    t.test('the unpublished come oldest first, as many as asked for, until they are marked', async (t) => {
      const { ledger, other } = await replicas(t)
      const entries = Array.from({ length: 6 }, () => aSessionEntry())
      for (const entry of entries) {
        await ledger.record([entry])
        // The order is by the server's milliseconds.
        await sleep(2)
      }
      t.same(idsOf(await other.unpublished('other', 4)), idsOf(entries.slice(0, 4)))
      await other.markPublished(idsOf(entries.slice(0, 4)))
      t.same(idsOf(await other.unpublished('other', 4)), idsOf(entries.slice(4)))
    })

    t.test('those of the unpublished that end first come first, without what has ended', async (t) => {
      const { ledger, other } = await replicas(t)
      const [key, later, soon, ended] = [
        entryOf({ kind: 'key', kid: 'kid', exp: 4_102_444_800 }),
        aSessionEntry(nowS + 310),
        aSessionEntry(nowS + 1),
        aSessionEntry(nowS),
      ]
      await ledger.record([key, later, soon, ended])
      t.same(idsOf(await other.unpublished('other', 10, nowS)), idsOf([soon, later, key]))
      t.same(idsOf(await other.unpublished('other', 2, nowS)), idsOf([soon, later]))
      t.same(idsOf(await other.unpublished('other', 10)), idsOf([ended, soon, later, key]))
    })

    t.test('every entry recorded before a call began is in what unpublished returns', async (t) => {
      const { ledger, other } = await replicas(t)
      const { recorded, writing } = startWriters([ledger, other, ledger, other], 25)
      const marked = new Set<string>()
      let open = true
      writing.finally(() => {
        open = false
      })
      while (open || recorded.size > marked.size) {
        await turn()
        const before = [...recorded].filter((id) => !marked.has(id))
        const found = new Set(idsOf(await other.unpublished('reader', 1000)))
        t.same(
          before.filter((id) => !found.has(id)),
          [],
          `all of ${before.length}`,
        )
        await other.markPublished([...found].slice(0, 10))
        for (const id of [...found].slice(0, 10)) marked.add(id)
      }
      await writing
      t.equal(marked.size, 100)
    })

    t.test('every entry recorded before a call of since began was returned by then', async (t) => {
      const { ledger, other } = await replicas(t)
      const { recorded, writing } = startWriters([ledger, other, ledger, other], 25)
      const seen = new Set<string>()
      let cursor: LedgerCursor
      let open = true
      writing.finally(() => {
        open = false
      })
      while (open || seen.size < 100) {
        await turn()
        const before = [...recorded]
        // Asked before the call: the last of the writers may end while it runs, after it has read.
        const last = !open
        const answer = await other.since('reader', cursor, nowS)
        cursor = answer.cursor
        for (const { id } of answer.entries) seen.add(id)
        t.same(
          before.filter((id) => !seen.has(id)),
          [],
          `all of ${before.length}`,
        )
        if (last && seen.size < recorded.size) return t.fail('entries are missing at the end')
      }
      await writing
      t.same(seen, recorded)
    })

    t.test('every entry recorded before live was called is in it, in batches of at most 1000', async (t) => {
      const { ledger, other } = await replicas(t)
      const entries = Array.from({ length: 2300 }, () => aSessionEntry())
      // Few at a time: a server that is slow on a busy machine has 3 s for a call.
      for (let from = 0; from < entries.length; from += 100) await ledger.record(entries.slice(from, from + 100))
      await ledger.record([aSessionEntry(nowS)])
      const found: string[] = []
      for await (const batch of other.live('reader', nowS)) {
        t.ok(batch.length > 0 && batch.length <= 1000)
        found.push(...batch.map(revocationId))
        // Others write while it is read: they come too or not.
        await ledger.record([aSessionEntry()])
      }
      t.equal(new Set(found).size, found.length, 'none comes twice')
      const all = new Set(found)
      t.same(
        entries.filter(({ id }) => !all.has(id)),
        [],
      )
      for await (const batch of other.live('reader', nowS)) {
        t.ok(batch)
        break // A reader may stop early.
      }
      t.ok(await other.isSessionRevoked(entries[0]!.id.slice('session:'.length)))
    })
  })
}

/** Writers that record one entry after the other; `recorded` grows when `record` has returned. */
function startWriters(ledgers: Ledger[], each: number): { recorded: Set<string>; writing: Promise<unknown> } {
  const recorded = new Set<string>()
  const write = async (ledger: Ledger) => {
    for (let n = 0; n < each; n++) {
      const entry = aSessionEntry()
      await ledger.record([entry])
      recorded.add(entry.id)
      await turn()
    }
  }
  return { recorded, writing: Promise.all(ledgers.map(write)) }
}
