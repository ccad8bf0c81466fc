import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { call } from './client.ts'
import { eventually } from './eventually.ts'
import { type Exit, startNode } from './process.ts'
import { temporaryFolder } from './temporary-folder.ts'
import { uniqueName } from './unique-name.ts'

const PROGRAM = fileURLToPath(new URL('../../bin/sallyport.ts', import.meta.url))

type Env = Record<string, string>

/** One running role: a real process of the command line, on ports of its own. */
export interface Running {
  url: string
  adminUrl: string
  pid: number
  /** The structured log so far. */
  log(): Record<string, unknown>[]
  /** SIGTERM (or another signal), and waits for the end, `within` ms (60 000 when left out). */
  stop(signal?: NodeJS.Signals, within?: number): Promise<Exit>
  /** Stops it without notice (SIGKILL) unless it ended already, and starts another one with the same settings. */
  restart(): Promise<Running>
}

export interface Deployment {
  issuers: Running[]
  sidecars: Running[]
  env: Env
  startIssuer(more?: Env): Promise<Running>
  startSidecar(more?: Env): Promise<Running>
}

export interface DeploymentOptions {
  mongo: string
  redis: string
  kafka?: string
  upstream: string
  issuers?: number
  sidecars?: number
  env?: Env
}

/**
 * The production composition: issuers and sidecars as processes of their own, on names nobody else uses in the given
 * servers. Returns when all are ready; everything ends with the test.
 */
export async function startDeployment(t: Test, options: DeploymentOptions): Promise<Deployment> {
  const name = uniqueName('e2e')
  const mongo = new URL(options.mongo)
  mongo.pathname = `/${name}`
  const env: Env = {
    ISSUER_URL: 'http://issuer.example',
    ISSUER_PORT: '0',
    SIDECAR_PORT: '0',
    SIDECAR_ADMIN_PORT: '0',
    MONGO_URL: mongo.href,
    REDIS_URL: options.redis,
    REDIS_PREFIX: `${name}:`,
    ...(options.kafka !== undefined && { KAFKA_BROKERS: options.kafka, KAFKA_TOPIC: `${name}.revocations` }),
    MASTER_KEY: 'a master key that only the tests know and no one else',
    FEED_TOKEN: 'a feed token that only the tests know',
    // The cheapest that is accepted: these tests are not about hashing.
    HASH_MEMORY_KIB: '7168',
    HASH_TIME: '5',
    // They log in often, and from one address.
    RATE_LIMITS: 'off',
    LOGIN_THROTTLE: 'off',
    // An answer says whether the broker has acknowledged it; a broker that everybody uses may be slow to.
    PUBLISH_TIMEOUT: '10s',
    LOG_LEVEL: 'info',
    ...options.env,
  }
  const startIssuer = (more: Env = {}) => startRole(t, 'issuer', { ...env, ...more })
  const issuers = await Promise.all(Array.from({ length: options.issuers ?? 1 }, () => startIssuer()))
  const startSidecar = (more: Env = {}) =>
    startRole(t, 'sidecar', {
      ...env,
      UPSTREAM: options.upstream,
      ...(issuers[0] && { ISSUER_INTERNAL_URL: issuers[0].url }),
      ...more,
    })
  const sidecars = await Promise.all(Array.from({ length: options.sidecars ?? 1 }, () => startSidecar()))
  await Promise.all([...issuers.map(({ url }) => ready(url)), ...sidecars.map(({ adminUrl }) => ready(adminUrl))])
  return { issuers, sidecars, env, startIssuer, startSidecar }
}

/** Waits until `/readyz` says so. */
export async function ready(url: string): Promise<void> {
  await eventually(async () => (await call(`${url}/readyz`)).status === 200, {
    within: 90_000,
    message: `${url}/readyz`,
  })
}

/**
 * Starts a role and returns when its ports listen (it may not be ready yet). Without a DATA_DIR in `env` it has one of its
 * own: keys that another test's sidecar kept would be taken for its issuer's.
 */
export async function startRole(t: Test, role: 'issuer' | 'sidecar', env: Env): Promise<Running> {
  const own = { DATA_DIR: temporaryFolder(t), ...env }
  const child = startNode(t, PROGRAM, { args: [role], env: own })
  const [line] = await child.waitForLine(/^\{.*"msg":"listening".*/, 90_000)
  const entry = JSON.parse(line) as { url: string; adminUrl?: string }
  return {
    url: entry.url,
    adminUrl: entry.adminUrl ?? entry.url,
    pid: child.pid,
    log: () =>
      child
        .stdout()
        .split('\n')
        // The last may not be there as a whole yet.
        .slice(0, -1)
        .filter((text) => text.startsWith('{'))
        .map((text) => JSON.parse(text)),
    stop: async (signal = 'SIGTERM', within) => {
      await child.kill(signal, within)
      return child.exited
    },
    restart: async () => {
      await child.kill()
      return startRole(t, role, own)
    },
  }
}
