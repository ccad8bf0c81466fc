import { test } from 'tap'
import { createMongoClient } from '../../../../issuer/adapters/mongo/connect.ts'
import type { IssuerDocument } from '../../../../issuer/adapters/mongo/issuer-reports.ts'
import { serversPlace } from '../../../helpers/stores.ts'
import { missingShared } from '../../../servers/shared.ts'

const skip = await missingShared('mongo', 'redis')

test('the heartbeat of a version that did not report is one of an issuer that has any lifetime', {
  skip,
}, async (t) => {
  const place = await serversPlace(t)
  const { issuerReports } = await place.open()
  const { client, db } = createMongoClient(place.settings.MONGO_URL!)
  t.teardown(() => client.close())
  const at = new Date()
  await db.collection<IssuerDocument>('issuers').insertOne({ _id: 'before', at, beats: 7 })
  t.same(await issuerReports.all(), [
    { instance: 'before', lifetimeS: undefined, kafka: false, settledAt: at.getTime(), at: at.getTime() },
  ])
})
