import { test } from 'tap'
import { newKey, tokenOf } from '../helpers/sidecar-proxy.ts'
import { CLASSES } from './classes.ts'
import type { Deployment } from './deployment.ts'
import { countsOf } from './report.ts'
import { runRows } from './run-rows.ts'
import { startWeakService } from './weak-service.ts'

test('before a naive service, rows of every class come out BROKEN', async (t) => {
  const { port } = await startWeakService(t)
  const key = newKey('key-1')
  const claims = { sub: 'the-user', sid: 'the-session' }
  const login = async () => ({ token: tokenOf(key, claims), logout: async () => {} })
  const deployment: Deployment = {
    endpoint: { host: '127.0.0.1', port },
    host: 'service.example',
    path: '/closed',
    token: tokenOf(key, claims),
    claims,
    guarded: true,
    admits: true,
    echoes: true,
    servedStatus: 200,
    keys: [{ ...key.key.export({ format: 'jwk' }), kid: key.kid }],
    login,
    patienceMs: 250,
    slowMs: 500,
    revocationMs: 300,
    websocketPath: '/closed',
  }
  const share: string[] = []
  for (const attackClass of CLASSES) {
    const options = { deployment: async () => deployment, deadlineMs: Number.POSITIVE_INFINITY, onResult: () => {} }
    const results = await runRows([attackClass], options)
    const { BROKEN, held } = countsOf(results)
    share.push(`${attackClass.id} ${BROKEN}:${held}`)
    t.ok(BROKEN > 0, `${attackClass.title}: ${BROKEN} of ${results.length}`)
    if (process.env.SHOW)
      for (const r of results)
        if (r.verdict !== 'BROKEN') t.comment(`${attackClass.id} | ${r.verdict} | ${r.row.sent} | ${r.observed}`)
  }
  t.comment(share.join(', '))
})
