import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'tap'
import { embeddedPlace } from '../../../helpers/stores.ts'

const BEFORE_REPORTS = 5
const DAY_MS = 86_400_000

test('a file of a version that did not report tells of an issuer that had any lifetime', async (t) => {
  const place = embeddedPlace(t)
  const { signingKeys, lifecycle, issuerReports } = await place.open()
  t.same(await issuerReports.all(), [], 'a new file tells of none')
  const key = { alg: 'ES256', state: 'current', sealedPrivateKey: 'x', createdAt: 0, signsFrom: 0 } as const
  await signingKeys.change(() => [{ ...key, kid: 'kid', retiredAt: null, revokedAt: null }])
  await lifecycle.close()

  const db = new DatabaseSync(join(place.settings.DATA_DIR, 'sallyport.db'))
  db.exec(`DROP TABLE issuers; PRAGMA user_version = ${BEFORE_REPORTS}`)
  db.close()
  const began = Date.now()
  const [report, ...more] = await (await place.open()).issuerReports.all()
  t.match(report, { instance: 'before', lifetimeS: undefined, kafka: false })
  t.ok(Math.abs(report!.at - began) < 60_000)
  t.same(more, [])
})

test('what was said a day ago is forgotten', async (t) => {
  const place = embeddedPlace(t)
  const { issuerReports } = await place.open()
  const own = { lifetimeS: 300, kafka: false, settledAt: 0 }
  await issuerReports.exchange({ ...own, instance: 'old' })
  const db = new DatabaseSync(join(place.settings.DATA_DIR, 'sallyport.db'))
  db.exec(`UPDATE issuers SET at = at - ${DAY_MS}`)
  db.close()
  t.match(await issuerReports.exchange({ ...own, instance: 'new' }), [{ instance: 'new' }])
})
