import { readSettings } from '../shared/settings.ts'
import { startDemoService } from './demo-service.ts'
import { DEMO_SETTINGS } from './demo-settings.ts'
import { checkSettings } from './known-settings.ts'
import { collectStartGarbage } from './start-garbage.ts'
import { runUntilSignal } from './until-signal.ts'

// Each role imports only its own half: what is not loaded takes no memory.

/** Runs one issuer until a signal ends it. */
export async function serveIssuer(env: NodeJS.ProcessEnv): Promise<void> {
  checkSettings(env, ['issuer'])
  const { startIssuer } = await import('../issuer/main.ts')
  await runUntilSignal(async (started, signal) => started(await startIssuer(env, { signal })))
}

/** Runs one sidecar until a signal ends it. */
export async function serveSidecar(env: NodeJS.ProcessEnv): Promise<void> {
  checkSettings(env, ['sidecar'])
  const { startSidecar } = await import('../sidecar/main.ts')
  await runUntilSignal(async (started) => {
    started(await startSidecar(env))
    // Before it is ready, so that no request has to wait for it.
    collectStartGarbage()
  })
}

/** Runs one injector until a signal ends it. */
export async function serveInjector(env: NodeJS.ProcessEnv): Promise<void> {
  checkSettings(env, ['injector'])
  const { startInjector } = await import('../sidecar/injector/main.ts')
  await runUntilSignal(async (started) => started(await startInjector(env)))
}

/** Runs the demo service until a signal ends it. */
export async function serveDemo(env: NodeJS.ProcessEnv): Promise<void> {
  checkSettings(env, ['demo'])
  const { DEMO_HOST, DEMO_PORT } = readSettings(DEMO_SETTINGS, env)
  await runUntilSignal(async (started) => {
    const demo = await startDemoService(DEMO_HOST, DEMO_PORT)
    started(demo)
    process.stdout.write(`demo service on ${demo.url}\n`)
  })
}
