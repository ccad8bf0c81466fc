import { readSettings } from '../shared/settings.ts'
import { startDemoService } from './demo-service.ts'
import { DEMO_SETTINGS } from './demo-settings.ts'
import { checkSettings } from './known-settings.ts'
import { untilSignal } from './until-signal.ts'

/** Runs one issuer until a signal ends it. */
export async function serveIssuer(env: NodeJS.ProcessEnv): Promise<void> {
  checkSettings(env, ['issuer'])
  // Each role imports only its own half: what is not loaded takes no memory.
  const { startIssuer } = await import('../issuer/main.ts')
  const issuer = await startIssuer(env)
  await untilSignal(issuer.close)
}

/** Runs one sidecar until a signal ends it. */
export async function serveSidecar(env: NodeJS.ProcessEnv): Promise<void> {
  checkSettings(env, ['sidecar'])
  const { startSidecar } = await import('../sidecar/main.ts')
  const sidecar = await startSidecar(env)
  await untilSignal(sidecar.close)
}

/** Runs the demo service until a signal ends it. */
export async function serveDemo(env: NodeJS.ProcessEnv): Promise<void> {
  checkSettings(env, ['demo'])
  const { DEMO_HOST, DEMO_PORT } = readSettings(DEMO_SETTINGS, env)
  const demo = await startDemoService(DEMO_HOST, DEMO_PORT)
  process.stdout.write(`demo service on ${demo.url}\n`)
  await untilSignal(demo.close)
}
