import { test } from 'tap'
import { KNOWN_SETTINGS } from '../../bin/known-settings.ts'
import { readPage } from './page.ts'
import { compute, LOAD, UNITS } from './scaling-formulas.ts'
import { bytes, figure, tables, withTables } from './scaling-tables.ts'

const PAGE = readPage('scaling.md')

test('the tables of docs/scaling.md are what the formulas give: else run node test/docs/scaling-tables.ts', async (t) => {
  t.equal(withTables(PAGE), PAGE)
  for (const name of tables().keys()) t.match(PAGE, `<!-- ${name} -->\n|`, `${name} is on the page`)
})

test('every unit is explained, every setting exists', async (t) => {
  const [, units = ''] = /## What was measured\n([\s\S]*?)\n## /.exec(PAGE) ?? []
  const explained = [...units.matchAll(/^\| ((?:`\w+`(?:, | … )?)+) \| .* \| .* \|$/gm)].map(([, names]) => names!)
  const names = explained.flatMap((cell) => [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name!))
  const all = Object.keys(UNITS)
  for (const cell of explained.filter((text) => text.includes('…'))) {
    const [first, last] = [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => all.indexOf(name!))
    names.push(...all.slice(first, last! + 1))
  }
  t.same([...new Set(names)].sort(), all.sort())
  for (const name of Object.keys(LOAD)) t.match(PAGE, `\`${name}\``, name)
  const settings = [...PAGE.matchAll(/`([A-Z]+(?:_[A-Z]+)+)(?:=\w+)?`/g)].map(([, name]) => name!)
  t.ok(settings.length > 20)
  const others = ['OVERLAP_MS', 'TAIL_MS', 'MAX_SNAPSHOTS', 'TEST_MONGO_URL']
  for (const name of new Set(settings)) t.ok(KNOWN_SETTINGS.includes(name) || others.includes(name), name)
})

test('the formulas, by hand', async (t) => {
  const computed = compute({ users: 86_400_000, sidecars: 2000 })
  t.equal(computed.logouts, 300)
  t.equal(computed.refreshes, 28_800)
  t.equal(computed.live, 300 * 340)
  t.equal(computed.mongo.reads, 57_600)
  t.equal(computed.relays.count, 5)
  t.equal(computed.relays.documents, 5 * 5 * 13 * 300)
  t.equal(computed.kafka.events, 2000 * (computed.issuers + 300))
  const { workS, networkS } = computed.storm.relay
  t.match([workS.toFixed(2), networkS.toFixed(1)], ['2.75', '41.1'], '400 snapshots of 102,000 entries from one read')
})

test('figures have two digits and a unit', async (t) => {
  t.same([0.0166, 0.5, 3.47, 33.3, 1234].map(figure), ['0.017', '0.5', '3.5', '33', '1,200'])
  t.same([626, 4.1e6, 999e9, 1.5e12].map(bytes), ['630 B', '4.1 MB', '1,000 GB', '1.5 TB'])
})
