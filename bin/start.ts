import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { startIssuer } from '../issuer/main.ts'
import { startSidecar } from '../sidecar/main.ts'
import { type DemoService, startDemoService } from './demo-service.ts'
import { checkSettings } from './known-settings.ts'
import { nextSteps } from './next-steps.ts'
import { runUntilSignal } from './until-signal.ts'

/**
 * Runs issuer, demo service and sidecar in this process until a signal ends them. With `UPSTREAM` the sidecar guards
 * that address and no demo service runs.
 */
export async function start(given: NodeJS.ProcessEnv): Promise<void> {
  // Without UPSTREAM the sidecar gets the demo service's address, which is not known yet.
  checkSettings({ ...given, UPSTREAM: given.UPSTREAM || 'http://127.0.0.1' }, ['issuer', 'sidecar'])
  // The two parts share a secret for the feed; it lives as long as the process.
  const env = { LOG_LEVEL: 'warn', FEED_TOKEN: randomBytes(32).toString('hex'), ...withoutEmpty(given) }

  await runUntilSignal(async (started, signal) => {
    const issuer = await startIssuer(env, { signal })
    started(issuer)
    let demo: DemoService | undefined
    if (!given.UPSTREAM) {
      demo = await startDemoService('127.0.0.1', 0)
      started(demo)
    }
    const sidecarEnv = {
      ...env,
      ISSUER_URL: given.ISSUER_URL || issuer.url,
      ISSUER_INTERNAL_URL: given.ISSUER_INTERNAL_URL || issuer.url,
      ...(demo && { UPSTREAM: demo.url }),
    }
    const sidecar = await startSidecar(sidecarEnv)
    started(sidecar)
    await Promise.race([sidecar.ready, once(signal, 'abort')])
    if (signal.aborted) return
    process.stdout.write(
      nextSteps({
        issuerUrl: issuer.url,
        sidecarUrl: sidecar.url,
        adminUrl: sidecar.adminUrl,
        upstream: given.UPSTREAM || undefined,
        dataDir: given.DATA_DIR || './data',
      }),
    )
  })
}

function withoutEmpty(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''))
}
