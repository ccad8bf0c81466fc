import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { test } from 'tap'
import { createUuidTable, isUuid, type UuidTable } from '../../../sidecar/domain/uuid-table.ts'

/** Sweeps the whole table. */
function sweepAll(table: UuidTable, nowS: number): void {
  for (let n = 0; n < 16; n++) table.sweep(nowS)
}

function entriesOf(table: UuidTable): [string, number][] {
  return [...table.batches(() => true)].flat().sort()
}

const NOT_UUIDS = [
  '',
  'x',
  '00000000-0000-4000-8000-00000000000',
  '00000000-0000-4000-8000-0000000000000',
  '0000000-00000-4000-8000-000000000000',
  '00000000_0000_4000_8000_000000000000',
  'g0000000-0000-4000-8000-000000000000',
  'A0000000-0000-4000-8000-000000000000',
  '\u01300000000-0000-4000-8000-000000000000',
  '\uff100000000-0000-4000-8000-000000000000',
  '{0000000-0000-4000-8000-00000000000}',
]

test('a large table can be swept and grow between two batches of it', async (t) => {
  for (let round = 0; round < 4; round++) {
    const table = createUuidTable()
    // Shards of several batches each, in which entries move across the border between two.
    const staying = Array.from({ length: 90_000 }, () => randomUUID())
    for (const uuid of staying) {
      table.add(uuid, 2)
      table.add(randomUUID(), 1)
    }
    const seen: string[] = []
    for (const batch of table.batches((exp) => exp === 2)) {
      if (seen.length === 0) sweepAll(table, 1)
      seen.push(...batch.map(([uuid]) => uuid))
      table.add(randomUUID(), 3)
    }
    t.equal(seen.length, staying.length)
    t.equal(new Set(seen).size, staying.length)
  }
})

test('holds a UUID in its one spelling only', async (t) => {
  const table = createUuidTable()
  const uuid = 'a0000000-0000-4000-8000-000000000000'
  t.equal(table.add(uuid, 1), true)
  t.equal(table.has(uuid), true)
  for (const text of NOT_UUIDS) {
    t.equal(isUuid(text), false, JSON.stringify(text))
    t.equal(table.has(text), false, JSON.stringify(text))
    t.throws(() => table.add(text, 1), TypeError)
  }
  t.equal(table.size, 1)
})

test('every digit counts', async (t) => {
  const table = createUuidTable()
  const uuid = randomUUID()
  table.add(uuid, 1)
  for (const [at, digit] of [...uuid].entries()) {
    if (digit === '-') continue
    const other = uuid.slice(0, at) + (digit === '7' ? '8' : '7') + uuid.slice(at + 1)
    t.equal(table.has(other), false, `digit ${at}`)
  }
  t.same(entriesOf(table), [[uuid, 1]])
})

test('keeps the later expiry, and the latest there is for what lies beyond it', async (t) => {
  const table = createUuidTable()
  const uuid = randomUUID()
  t.equal(table.add(uuid, 100), true)
  t.equal(table.add(uuid, 50), false)
  t.equal(table.add(uuid, 200), false)
  sweepAll(table, 199)
  t.equal(table.has(uuid), true)
  sweepAll(table, 200)
  t.equal(table.has(uuid), false)
  table.add(uuid, Number.MAX_SAFE_INTEGER)
  sweepAll(table, 2 ** 32 - 2)
  t.same(entriesOf(table), [[uuid, 2 ** 32 - 1]])
})

test('grows and shrinks with what it holds', async (t) => {
  const table = createUuidTable()
  const uuids = Array.from({ length: 50_000 }, () => randomUUID())
  for (const [i, uuid] of uuids.entries()) table.add(uuid, i < 49_000 ? 10 : 20)
  t.equal(table.size, 50_000)
  t.equal(
    uuids.every((uuid) => table.has(uuid)),
    true,
  )
  sweepAll(table, 10)
  t.equal(table.size, 1000)
  t.equal(
    uuids.slice(0, 49_000).some((uuid) => table.has(uuid)),
    false,
  )
  t.equal(
    uuids.slice(49_000).every((uuid) => table.has(uuid)),
    true,
  )
  t.equal(entriesOf(table).length, 1000)
})

test('answers as a Map would, whatever is added and swept', async () => {
  // Few UUIDs of few shards, so that they meet in their slots.
  const uuid = fc.nat(3000).map((n) => `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`)
  const step = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({ add: fc.array(fc.tuple(uuid, fc.integer({ min: 1, max: 50 })), { maxLength: 400 }) }),
    },
    { weight: 1, arbitrary: fc.record({ sweep: fc.integer({ min: 0, max: 50 }) }) },
  )
  fc.assert(
    fc.property(fc.array(step, { size: 'large', maxLength: 30 }), (steps) => {
      const table = createUuidTable()
      const model = new Map<string, number>()
      for (const one of steps) {
        if ('sweep' in one) {
          sweepAll(table, one.sweep)
          for (const [known, exp] of model) if (exp <= one.sweep) model.delete(known)
        } else {
          for (const [added, exp] of one.add) {
            if (table.add(added, exp) === model.has(added)) throw new Error(`${added} should be new or not`)
            model.set(added, Math.max(exp, model.get(added) ?? 0))
          }
        }
        if (table.size !== model.size) throw new Error(`${table.size} entries instead of ${model.size}`)
        for (const known of model.keys()) if (!table.has(known)) throw new Error(`${known} is missing`)
      }
      const [held, expected] = [entriesOf(table), [...model].sort()]
      if (JSON.stringify(held) !== JSON.stringify(expected)) throw new Error('other entries')
    }),
    { numRuns: 60 },
  )
})
