import type { Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { closeServer } from '../../shared/close-server.ts'
import { createLifecycle, type Lifecycle, pause } from '../../shared/lifecycle.ts'
import { createLog, type Log } from '../../shared/log.ts'
import { addProcessMetrics, createMetrics } from '../../shared/metrics.ts'
import { createOperationsServer } from '../../shared/operations-server.ts'
import { openTlsCertificate } from '../../shared/tls-certificate.ts'
import { SIDECAR_SETTINGS } from '../settings.ts'
import type { InjectionRules } from './domain/inject.ts'
import { templatePorts } from './domain/pod-container.ts'
import { buildWebhook } from './server.ts'
import { type InjectorSettings, readInjectorSettings } from './settings.ts'
import { readTemplateFile } from './template-file.ts'

export interface RunningInjector {
  /** Where the webhook listens. */
  url: string
  /** Where health and metrics listen. */
  adminUrl: string
  /** Drains it: accepts for a while, answers what is open, then ends everything. */
  close(): Promise<void>
}

/**
 * Starts one injector and returns when it listens.
 * @throws SettingsError for settings, a template or a certificate that are wrong, the system's error for a port that
 * can't be used
 */
export async function startInjector(env: NodeJS.ProcessEnv, options: { log?: Log } = {}): Promise<RunningInjector> {
  const settings = readInjectorSettings(env)
  const log = options.log ?? createLog('injector', settings.LOG_LEVEL)
  const lifecycle = createLifecycle(log)
  try {
    return await start(settings, log, lifecycle)
  } catch (error) {
    await lifecycle.close()
    throw error
  }
}

/** Everything in the order in which one part stands on another. */
async function start(settings: InjectorSettings, log: Log, lifecycle: Lifecycle): Promise<RunningInjector> {
  const metrics = createMetrics()
  await addProcessMetrics(metrics)
  const rules = await injectionRules(settings)
  const certificate = await openTlsCertificate({
    certFile: settings.INJECTOR_TLS_CERT_FILE,
    keyFile: settings.INJECTOR_TLS_KEY_FILE,
    settings: 'INJECTOR_TLS_CERT_FILE, INJECTOR_TLS_KEY_FILE',
    clientCa: settings.INJECTOR_TLS_CLIENT_CA,
    log,
    metrics,
    lifecycle,
  })

  let draining = false
  // Without TLS and on a port of their own: the kubelet and Prometheus ask.
  const admin = createOperationsServer({ metrics, ready: () => [{ name: 'serving', ok: !draining }], log })
  lifecycle.onClose('admin server', () => admin.close())
  const adminUrl = await listen(admin, 'http', settings.INJECTOR_ADMIN_HOST, settings.INJECTOR_ADMIN_PORT)

  const webhook = buildWebhook({ rules, tls: certificate.context, log, metrics })
  certificate.keepFresh(webhook.server as TlsServer)
  lifecycle.onClose('webhook server', () => webhook.close())
  const url = await listen(webhook, 'https', settings.INJECTOR_HOST, settings.INJECTOR_PORT)
  const { container, isNative } = rules.template
  log.info({ url, adminUrl, container: container.name, image: container.image, native: isNative }, 'listening')

  return {
    url,
    adminUrl,
    close: async () => {
      if (!draining) {
        draining = true
        log.info('draining')
        await pause(settings.DRAIN_DELAY)
        const deadline = setTimeout(() => webhook.server.closeAllConnections(), settings.DRAIN_DEADLINE)
        await closeServer(webhook)
        clearTimeout(deadline)
      }
      await lifecycle.close()
    },
  }
}

async function injectionRules(settings: InjectorSettings): Promise<InjectionRules> {
  const { SIDECAR_PORT, SIDECAR_ADMIN_PORT } = SIDECAR_SETTINGS
  const template = await readTemplateFile(settings.INJECTOR_TEMPLATE_FILE)
  const usual = { proxy: SIDECAR_PORT.default, admin: SIDECAR_ADMIN_PORT.default }
  return {
    template,
    ports: templatePorts(template, usual),
    mayOptOut: settings.INJECTOR_OPT_OUT,
    guarded: new Set(settings.INJECTOR_GUARDED_NAMESPACES),
    whenExposed: settings.INJECTOR_WHEN_EXPOSED,
  }
}

async function listen(app: FastifyInstance, scheme: string, host: string, port: number): Promise<string> {
  await app.listen({ host, port })
  const { address, family, port: taken } = app.server.address() as AddressInfo
  return `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${taken}`
}
