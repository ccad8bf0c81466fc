import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { call, type Login, login, logout, refresh, register, statusThrough } from './client.ts'
import { kidOf, runCommand } from './command-line.ts'
import { type Running, ready } from './deployment.ts'
import { eventually } from './eventually.ts'
import { startNode } from './process.ts'

const PROGRAM = fileURLToPath(new URL('../../bin/sallyport.ts', import.meta.url))

export type Env = Record<string, string>

/** What was to be true at the time of the backup, and what happened after it. */
export async function liveOn(t: Test, env: Env, issuer: string, backUp: () => Promise<void>) {
  const [ada, bob] = [await register(issuer), await register(issuer)]
  const loggedOut = await login(issuer, ada)
  const used = await login(issuer, ada)
  const allOut = await login(issuer, bob)
  await backUp()
  t.match(await logout(issuer, loggedOut.access_token), { status: 200 })
  t.match(await logout(issuer, allOut.access_token, { all: true }), { status: 200 })
  // Of an epoch that the copy has not come to.
  const since = await login(issuer, bob)
  const successor = await refresh(issuer, used.refresh_token)
  t.equal(successor.status, 200)
  const compromised = kidOf(since.access_token)
  t.match(await runCommand(t, env, 'keys', 'revoke', compromised), { code: 0, lines: [{ propagated: true }] })
  return { ada, ended: [loggedOut, allOut], sessions: [loggedOut, used, allOut, since, successor.body], compromised }
}

/** docs/operations.md, "After a restore", between the restore and the start of the issuers. */
export async function followProcedure(t: Test, env: Env, compromised: string) {
  for (const args of [['migrate'], ['keys', 'revoke', compromised], ['sessions', 'end', '--all']]) {
    const child = startNode(t, PROGRAM, { args, env })
    const { code } = await child.waitForExit(90_000)
    t.equal(code, 0, `${args.join(' ')}: ${child.stderr()}`)
  }
}

export async function checkAllOver(
  t: Test,
  issuer: Running,
  sidecar: Running,
  was: Awaited<ReturnType<typeof liveOn>>,
) {
  await Promise.all([ready(issuer.url), ready(sidecar.adminUrl)])
  for (const { access_token, refresh_token } of was.sessions as Login[]) {
    t.equal((await refresh(issuer.url, refresh_token)).status, 401, 'no session goes on')
    // As soon as the sidecar hears of the issuer again.
    const isRefused = async () => (await statusThrough(sidecar.url, access_token)) === 401
    t.ok(await eventually(isRefused, { within: 60_000, message: 'no token is accepted' }))
  }
  const { body } = await call<{ keys: { kid: string }[] }>(`${issuer.url}/.well-known/jwks.json`)
  t.notOk(
    body.keys.some(({ kid }) => kid === was.compromised),
    'the compromised key has not come back',
  )
  const again = await login(issuer.url, was.ada)
  await eventually(async () => (await statusThrough(sidecar.url, again.access_token)) === 200, { within: 60_000 })
  t.equal((await refresh(issuer.url, again.refresh_token)).status, 200)
}
