import { get as getPlain } from 'node:http'
import { get as getTls } from 'node:https'
import { text } from 'node:stream/consumers'

const DEADLINE_MS = 3000

/**
 * Asks `/readyz` of an instance on this machine.
 * @param url by default the sidecar's admin port if `SIDECAR_ADMIN_PORT` or `UPSTREAM` is set, the injector's if
 *   `INJECTOR_TEMPLATE_FILE` is, else the issuer's port; at the address it listens on
 * @throws Error when it is not ready or does not answer within 3 s
 */
export async function checkHealth(env: NodeJS.ProcessEnv, url?: string): Promise<void> {
  const address = url ?? `${ownAddress(env)}/readyz`
  if (!/^https?:/.test(address) || !URL.canParse(address)) {
    throw new Error(`${address} is not an address such as http://127.0.0.1:8081/readyz`)
  }
  // The issuer's certificate is for its public name, and nothing that is asked here is secret.
  const { ok, body } = await ask(address, url === undefined).catch((error) => {
    throw new Error(`${address} does not answer (${error.code ?? error.name})`)
  })
  if (!ok) throw new Error(`${address} is not ready: ${body.slice(0, 1000)}`)
  process.stdout.write(`${body}\n`)
}

function ownAddress(env: NodeJS.ProcessEnv): string {
  // An empty variable is how Compose and shells spell "not set".
  if (env.SIDECAR_ADMIN_PORT || env.UPSTREAM) {
    return `http://${reachable(env.SIDECAR_ADMIN_HOST)}:${env.SIDECAR_ADMIN_PORT || '8081'}`
  }
  if (env.INJECTOR_TEMPLATE_FILE) {
    return `http://${reachable(env.INJECTOR_ADMIN_HOST)}:${env.INJECTOR_ADMIN_PORT || '8444'}`
  }
  const scheme = env.ISSUER_TLS_CERT_FILE ? 'https' : 'http'
  return `${scheme}://${reachable(env.ISSUER_HOST)}:${env.ISSUER_PORT || '4000'}`
}

/** Who listens on every address is asked on loopback. */
function reachable(host = ''): string {
  if (host === '' || host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}

async function ask(address: string, anyCertificate: boolean): Promise<{ ok: boolean; body: string }> {
  const get = address.startsWith('https:') ? getTls : getPlain
  const options = { signal: AbortSignal.timeout(DEADLINE_MS), rejectUnauthorized: !anyCertificate }
  return new Promise((resolve, reject) => {
    const request = get(address, options, (response) => {
      text(response).then((body) => resolve({ ok: response.statusCode === 200, body }), reject)
    })
    request.once('error', reject)
  })
}
