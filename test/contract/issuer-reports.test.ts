import { test } from 'tap'
import type { IssuerReport } from '../../issuer/domain/issuer-report.ts'
import { ADAPTERS } from '../helpers/stores.ts'

const names = (reports: IssuerReport[]) => reports.map(({ instance }) => instance).sort()

for (const { name, skip, place } of ADAPTERS) {
  test(`the reports of issuers in ${name}`, { skip }, async (t) => {
    t.test('what one says the others read, as it was said last', async (t) => {
      const here = await place(t)
      const [{ issuerReports: one }, { issuerReports: two }] = await Promise.all([here.open(), here.open()])
      const before = Date.now()
      t.same(await one.all(), [])
      const report = { instance: 'one', lifetimeS: 3600, kafka: true, settledAt: 1_700_000_000_123 }
      t.match(await one.exchange(report), [report], 'its own is among them')
      t.match(await two.exchange({ instance: 'two', lifetimeS: 10, kafka: false, settledAt: 5 }), { length: 2 })
      const known = await one.exchange({ ...report, lifetimeS: 300, settledAt: 7 })
      t.same(names(known), ['one', 'two'])
      t.match(
        known.find(({ instance }) => instance === 'one'),
        { lifetimeS: 300, kafka: true, settledAt: 7 },
      )
      for (const { at } of known) t.ok(Math.abs(at - before) < 60_000, 'with the time')
      t.same((await (await here.open()).issuerReports.all()).length, 2, 'and so does one that starts later')
    })

    t.test('of those that come at once each reads whoever has been there before it', async (t) => {
      const here = await place(t)
      const stores = await Promise.all([here.open(), here.open()])
      const count = 10
      const all = await Promise.all(
        Array.from({ length: count }, (_, n) =>
          stores[n % 2]!.issuerReports.exchange({ instance: String(n), lifetimeS: 10 + n, kafka: false, settledAt: 0 }),
        ),
      )
      const seen = all.map(names)
      for (let one = 0; one < count; one++) {
        for (let two = 0; two < one; two++) {
          t.ok(seen[one]!.includes(String(two)) || seen[two]!.includes(String(one)), `${one} and ${two}`)
        }
      }
    })

    t.test('who reads the ledger and issues nothing is none of them', async (t) => {
      const { ledger, issuerReports } = await (await place(t)).open()
      await ledger.unpublished('a command', 10)
      t.same(await issuerReports.all(), [])
      await issuerReports.exchange({ instance: 'issuer', lifetimeS: 300, kafka: true, settledAt: 0 })
      await ledger.unpublished('issuer', 10)
      t.match(
        await issuerReports.all(),
        [{ instance: 'issuer', lifetimeS: 300, kafka: true }],
        'reading changes nothing',
      )
    })
  })
}
