import { test } from 'tap'
import { startProxy } from '../helpers/sidecar-proxy.ts'
import { TOKEN_CACHE } from './classes/token-cache.ts'
import { startRecorder } from './recorder.ts'
import { runRow } from './run-rows.ts'

test('a token that was served is refused once it has expired (CVE-2026-107719, CVE-2026-35039)', async (t) => {
  const recorder = await startRecorder(t)
  const proxy = await startProxy(t, recorder.url)
  const nowS = Math.floor(Date.now() / 1000)
  const claims = { sub: 'the-user', exp: nowS + 3, iat: nowS - 60 }
  const row = TOKEN_CACHE.rows.find(({ sent }) => sent.includes('once it has expired'))!
  const result = await runRow(TOKEN_CACHE, row, {
    deadlineMs: Number.POSITIVE_INFINITY,
    deployment: async () => ({
      endpoint: { host: '127.0.0.1', port: proxy.port },
      host: 'service.example',
      path: '/closed',
      token: proxy.token(claims),
      claims,
      guarded: true,
      admits: true,
      echoes: true,
      servedStatus: 200,
      patienceMs: 10_000,
      slowMs: 20_000,
      revocationMs: 10_000,
      recorder,
    }),
  })
  t.match(result, { verdict: 'held', observed: 'served before, 401 after' })
})
