import { fileURLToPath } from 'node:url'
import { type Test, test } from 'tap'
import { request } from 'undici'
import { claimsOf, statusThrough } from '../helpers/client.ts'
import { ready, startDeployment, startRole } from '../helpers/deployment.ts'
import { eventually } from '../helpers/eventually.ts'
import { startNode } from '../helpers/process.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const PROGRAM = fileURLToPath(new URL('../../bin/sallyport.ts', import.meta.url))

type Env = Record<string, string>

interface Place {
  /** Of an issuer; the command line has the same. */
  env: Env
  issuerUrl: string
  sidecarUrl: string
  /** The identity headers of the last request that reached the service. */
  seen(): Record<string, unknown>
}

const PLACES: { name: string; skip: string | false; start(t: Test): Promise<Place> }[] = [
  {
    name: 'embedded',
    skip: false,
    async start(t) {
      const upstream = await startRecordingUpstream(t)
      const env = {
        DATA_DIR: temporaryFolder(t),
        ISSUER_URL: 'http://issuer.example',
        ISSUER_PORT: '0',
        SIDECAR_PORT: '0',
        SIDECAR_ADMIN_PORT: '0',
        FEED_TOKEN: 'a feed token that only the tests know',
        UPSTREAM: upstream.url,
      }
      const issuer = await startRole(t, 'issuer', env)
      const sidecar = await startRole(t, 'sidecar', { ...env, ISSUER_INTERNAL_URL: issuer.url })
      await ready(sidecar.adminUrl)
      return { env, issuerUrl: issuer.url, sidecarUrl: sidecar.url, seen: () => upstream.requests.at(-1)!.headers }
    },
  },
  {
    name: 'production',
    skip: missingProduction,
    async start(t) {
      const upstream = await startRecordingUpstream(t)
      const { issuers, sidecars, env } = await startDeployment(t, {
        ...(await productionServers()),
        upstream: upstream.url,
      })
      return {
        env,
        issuerUrl: issuers[0]!.url,
        sidecarUrl: sidecars[0]!.url,
        seen: () => upstream.requests.at(-1)!.headers,
      }
    },
  },
]

/** Runs `sallyport clients …`. @returns what it printed and its exit code */
async function clients(
  t: Test,
  env: Env,
  ...args: string[]
): Promise<{ code: number | null; out: string; err: string }> {
  const child = startNode(t, PROGRAM, { args: ['clients', ...args], env })
  const { code } = await child.waitForExit(90_000)
  return { code, out: child.stdout(), err: child.stderr() }
}

/** A token by the client credentials grant. @returns the status when there is none */
async function tokenOf(
  issuerUrl: string,
  client: { client_id: string; client_secret: string },
): Promise<string | number> {
  const response = await request(`${issuerUrl}/auth/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({ grant_type: 'client_credentials', ...client }).toString(),
  })
  const body = (await response.body.json()) as { access_token: string }
  return response.statusCode === 200 ? body.access_token : response.statusCode
}

for (const { name, skip, start } of PLACES) {
  test(`a service made by the command line is served through a sidecar until it is deleted: ${name}`, {
    skip,
  }, async (t) => {
    const { env, issuerUrl, sidecarUrl, seen } = await start(t)
    const created = await clients(t, env, 'create', 'reports', '-p', 'orders:read', '-p', 'orders:write')
    t.equal(created.code, 0)
    const client = JSON.parse(created.out)
    t.match(client, { name: 'reports', permissions: ['orders:read', 'orders:write'], client_secret: /^sallyport_/ })
    t.notMatch(created.err, client.client_secret, 'the secret is in no log')
    const listed = await clients(t, env, 'list')
    t.match(JSON.parse(listed.out), { client_id: client.client_id, name: 'reports' })
    t.notMatch(listed.out, /secret"|hash/i)

    const token = String(await tokenOf(issuerUrl, client))
    t.equal(await statusThrough(sidecarUrl, token), 200)
    t.match(seen(), {
      'x-user-id': client.client_id,
      'x-user-scope': 'orders:read orders:write',
      'x-session-id': claimsOf(token).sid,
    })
    for (const header of ['x-user-email', 'x-user-roles', 'x-user-tier']) t.notOk(header in seen(), `no ${header}`)

    const rotated = JSON.parse((await clients(t, env, 'rotate-secret', client.client_id, '--overlap', '1h')).out)
    t.type(await tokenOf(issuerUrl, client), 'string', 'the secret before still holds')
    const atOnce = JSON.parse((await clients(t, env, 'rotate-secret', client.client_id, '--overlap', '0s')).out)
    t.same([await tokenOf(issuerUrl, client), await tokenOf(issuerUrl, rotated)], [401, 401])
    await refused(sidecarUrl, token, 'a secret that leaked takes its tokens with it')
    const second = String(await tokenOf(issuerUrl, atOnce))
    t.equal(await statusThrough(sidecarUrl, second), 200, 'the new secret works at once')

    const deleted = await clients(t, env, 'delete', client.client_id)
    t.match(deleted, { code: 0, out: /"propagated":true/ })
    await refused(sidecarUrl, second, 'the service is deleted')
    t.equal(await tokenOf(issuerUrl, atOnce), 401)
    t.equal((await clients(t, env, 'list')).out, '')

    const unsure = await clients(t, env, 'create', 'x', '-p', 'user:read', 'orders:read', 'users:read')
    t.equal(unsure.code, 0, 'permissions may be those of other services')
    t.match(unsure.err, /note: no route of this issuer asks for user:read .* did you mean users:read\?\n/)
    t.match(unsure.err, /note: no route of this issuer asks for orders:read [^?]*\n/)
    t.equal(unsure.err.match(/note:/g)?.length, 2)
    t.equal((await clients(t, env, 'delete', JSON.parse(unsure.out).client_id)).code, 0)

    const again = await clients(t, env, 'delete', client.client_id)
    t.match(again, { code: 1, err: /^sallyport: there is no such client\n$/m })
    t.match(await clients(t, env, 'create', 'x', '-p', 'a b'), { code: 1, err: /^sallyport: permissions: .*\n$/m })
    t.match(await clients(t, env, 'rotate-secret', 'x', '--overlap', 'soon'), { code: 1, err: /--overlap.*"soon"/ })
  })
}

/** The command line writes to the ledger; an issuer publishes it from there. */
async function refused(sidecarUrl: string, token: string, message: string): Promise<void> {
  await eventually(async () => (await statusThrough(sidecarUrl, token)) === 401, { within: 60_000, message })
}
