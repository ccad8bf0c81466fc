import { type Test, test } from 'tap'
import type { ClientTimeouts } from '../../sidecar/server.ts'
import { startProxy } from '../helpers/sidecar-proxy.ts'
import { CLASSES } from './classes.ts'
import type { Deployment } from './deployment.ts'
import { startRecorder } from './recorder.ts'
import { runRows } from './run-rows.ts'

const ROUTES = [{ name: 'open', path: '/open/**', access: 'public' as const }]

/** For rows that wait for it; for others it might be over before what came during a standstill is read. */
const SHORT = { headersMs: 1000, requestMs: 2000, checkMs: 100 }

/** A real sidecar before a service that keeps the very bytes, as a deployment that can be attacked. */
async function startDeployment(t: Test, path: string, timeouts: Partial<ClientTimeouts>): Promise<Deployment> {
  const recorder = await startRecorder(t)
  const proxy = await startProxy(t, recorder.url, { routes: ROUTES, timeouts })
  const guarded = path !== '/open'
  const claims = { sub: 'the-user', sid: 'the-session' }
  return {
    endpoint: { host: '127.0.0.1', port: proxy.port },
    host: 'service.example',
    path,
    ...(guarded && { token: proxy.token(claims), claims }),
    guarded,
    admits: true,
    echoes: true,
    servedStatus: 200,
    keys: [{ ...proxy.key.key.export({ format: 'jwk' }), kid: proxy.key.kid }],
    patienceMs: 10_000,
    slowMs: 30_000,
    revocationMs: 10_000,
    recorder,
  }
}

// What has to be there for these is not there here: see the tests that are named beside their class.
const ELSEWHERE = /^(needs EMAIL|needs --websocket|it lives )/

for (const path of ['/closed', '/open']) {
  for (const attackClass of CLASSES) {
    test(`${path}: ${attackClass.title} (${attackClass.known.join(', ')})`, async (t) => {
      const run = async (slow: boolean) => {
        const deployment = await startDeployment(t, path, slow ? SHORT : {})
        const rows = attackClass.rows.filter((row) => (row.slow ?? false) === slow)
        await runRows([{ ...attackClass, rows }], {
          deployment: async () => deployment,
          deadlineMs: Number.POSITIVE_INFINITY,
          onResult({ row, verdict, observed }) {
            const needsGuard = path === '/open' && /^needs a (path|token)/.test(observed)
            if (verdict === 'not applicable') t.ok(needsGuard || ELSEWHERE.test(observed), `${row.sent}: ${observed}`)
            else t.equal(verdict, 'held', `${row.sent}: ${observed}`)
          },
        })
      }
      await Promise.all([run(false), run(true)])
    })
  }
}
