/**
 * Asks `/readyz` of an instance on this machine.
 * @param url by default the sidecar's admin port if `SIDECAR_ADMIN_PORT` or `UPSTREAM` is set, else the issuer's port
 * @throws Error when it is not ready or does not answer within 3 s
 */
export async function checkHealth(env: NodeJS.ProcessEnv, url?: string): Promise<void> {
  const isSidecar = env.SIDECAR_ADMIN_PORT !== undefined || env.UPSTREAM !== undefined
  const port = isSidecar ? env.SIDECAR_ADMIN_PORT || '8081' : env.ISSUER_PORT || '4000'
  const address = url ?? `http://127.0.0.1:${port}/readyz`
  const response = await fetch(address, { signal: AbortSignal.timeout(3000) }).catch((error) => {
    throw new Error(`${address} does not answer (${error.cause?.code ?? error.name})`)
  })
  const body = await response.text()
  if (!response.ok) throw new Error(`${address} is not ready: ${body.slice(0, 1000)}`)
  process.stdout.write(`${body}\n`)
}
