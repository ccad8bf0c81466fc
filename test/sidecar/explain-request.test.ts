import { join } from 'node:path'
import { test } from 'tap'
import { startIssuer } from '../../issuer/main.ts'
import { createLog } from '../../shared/log.ts'
import { explainRequest } from '../../sidecar/explain-request.ts'
import { login, logout, register } from '../helpers/client.ts'
import { eventually } from '../helpers/eventually.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const FEED_TOKEN = 'a feed token that only the tests know'

// Not by the command line, which test/bin/check.test.ts goes through: a process starts too late to be given that snapshot.
test('a token that was revoked a moment ago is refused, though the issuer shares an older snapshot', async (t) => {
  const env = { FEED_TOKEN, HASH_MEMORY_KIB: '7168', HASH_TIME: '5', DATA_DIR: join(temporaryFolder(t), 'data') }
  const { url: issuer, close } = await startIssuer({ ...env, ISSUER_PORT: '0' }, { log: createLog('issuer', 'silent') })
  t.teardown(close)
  const user = await register(issuer)
  const request = { routes: [], method: 'GET', url: '/', issuer: undefined, jwksFile: undefined }
  for (let round = 0; round < 3; round++) {
    const { access_token: token } = await login(issuer, user)
    await readSnapshot(issuer)
    // Nobody hears the logout before the issuer itself next looks into the ledger.
    await eventually(async () => /_stream_subscribers 0$/m.test(await (await fetch(`${issuer}/metrics`)).text()))
    await logout(issuer, token)
    const explained = await explainRequest({ ...request, token, env: { ISSUER_URL: issuer, FEED_TOKEN } })
    t.same(explained.notes, [])
    t.match(explained, { verdict: 'refused', status: 401 })
  }
})

/** Reads the issuer's feed up to the end of a snapshot, as another sidecar does. */
async function readSnapshot(issuer: string): Promise<void> {
  const { body } = await fetch(`${issuer}/revocations`, { headers: { authorization: `Bearer ${FEED_TOKEN}` } })
  let text = ''
  // Entries have no id, the event that closes a snapshot does.
  for await (const chunk of body!) {
    text += Buffer.from(chunk)
    if (/^id: .+\n\n/ms.test(text)) return
  }
}
