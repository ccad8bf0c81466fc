import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { startNode } from '../helpers/process.ts'

const PROGRAM = fileURLToPath(new URL('../../bin/sallyport.ts', import.meta.url))

interface Teardown {
  teardown(fn: () => void): void
}

async function startReadiness(t: Teardown, host: string, status = 200): Promise<string> {
  const server = createServer((request, response) => {
    response.statusCode = request.url === '/readyz' ? status : 404
    response.end(`at ${host}`)
  })
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  t.teardown(() => void server.close())
  return String((server.address() as AddressInfo).port)
}

async function health(t: Teardown, env: Record<string, string>) {
  const child = startNode(t as never, PROGRAM, { args: ['health'], env })
  const { code } = await child.waitForExit(90_000)
  return { code, stdout: child.stdout().trim(), stderr: child.stderr().trim() }
}

test('sallyport health asks where the instance listens, as its settings tell', async (t) => {
  const everywhere = await startReadiness(t, '0.0.0.0')
  const second = await startReadiness(t, '127.0.0.2')
  const asked: [string, Record<string, string>, string][] = [
    ['an issuer', { ISSUER_PORT: everywhere }, 'at 0.0.0.0'],
    [
      'an issuer, the others being set to nothing',
      { ISSUER_PORT: everywhere, UPSTREAM: '', SIDECAR_ADMIN_PORT: '', INJECTOR_TEMPLATE_FILE: '' },
      'at 0.0.0.0',
    ],
    ['an issuer on every address', { ISSUER_HOST: '0.0.0.0', ISSUER_PORT: everywhere }, 'at 0.0.0.0'],
    ['an issuer on one address', { ISSUER_HOST: '127.0.0.2', ISSUER_PORT: second }, 'at 127.0.0.2'],
    ['a sidecar', { ISSUER_PORT: '1', UPSTREAM: 'http://a', SIDECAR_ADMIN_PORT: everywhere }, 'at 0.0.0.0'],
    ['a sidecar on one address', { SIDECAR_ADMIN_HOST: '127.0.0.2', SIDECAR_ADMIN_PORT: second }, 'at 127.0.0.2'],
    [
      'an injector on one address',
      { INJECTOR_TEMPLATE_FILE: 'a', INJECTOR_ADMIN_HOST: '127.0.0.2', INJECTOR_ADMIN_PORT: second },
      'at 127.0.0.2',
    ],
  ]
  for (const [name, env, stdout] of asked) t.same(await health(t, env), { code: 0, stdout, stderr: '' }, name)
})

test('sallyport health: not ready and not there are exit code 1, with the address', async (t) => {
  const port = await startReadiness(t, '127.0.0.1', 503)
  t.match(await health(t, { ISSUER_PORT: port }), { code: 1, stderr: `http://127.0.0.1:${port}/readyz is not ready` })
  t.match(await health(t, { ISSUER_HOST: '127.0.0.2', ISSUER_PORT: port }), {
    code: 1,
    stderr: `http://127.0.0.2:${port}/readyz does not answer (ECONNREFUSED)`,
  })
})
