import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { startIssuer } from '../issuer/main.ts'
import { readIssuerSettings } from '../issuer/settings.ts'
import { portConflicts } from '../shared/port-conflicts.ts'
import { SettingsError } from '../shared/settings.ts'
import { startSidecar } from '../sidecar/main.ts'
import { readSidecarSettings, sidecarListeners } from '../sidecar/settings.ts'
import { type DemoService, startDemoService } from './demo-service.ts'
import { checkSettings } from './known-settings.ts'
import { nextSteps } from './next-steps.ts'
import { runUntilSignal } from './until-signal.ts'

/**
 * Runs issuer, demo service and sidecar in this process until a signal ends them. With `UPSTREAM` the sidecar guards
 * that address and no demo service runs.
 */
export async function start(given: NodeJS.ProcessEnv): Promise<void> {
  // The two parts share a secret for the feed; it lives as long as the process.
  const feedToken = given.FEED_TOKEN_FILE ? {} : { FEED_TOKEN: randomBytes(32).toString('hex') }
  const env: NodeJS.ProcessEnv = { LOG_LEVEL: 'warn', ...feedToken, ...withoutEmpty(given) }
  // Without UPSTREAM the sidecar gets the demo service's address, which is not known yet.
  checkTogether({ UPSTREAM: 'http://127.0.0.1', ...env })

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

/** @throws SettingsError */
function checkTogether(env: NodeJS.ProcessEnv): void {
  checkSettings(env, ['issuer', 'sidecar'])
  const { ISSUER_HOST, ISSUER_PORT } = readIssuerSettings(env)
  const issuer = { setting: 'ISSUER_PORT', host: ISSUER_HOST, port: ISSUER_PORT }
  const problems = portConflicts([issuer, ...sidecarListeners(readSidecarSettings(env))])
  if (problems.length > 0) throw new SettingsError(problems)
}

function withoutEmpty(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''))
}
