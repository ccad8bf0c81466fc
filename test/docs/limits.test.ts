import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type Test, test } from 'tap'
import { type BuiltIssuer, buildIssuer, claimsOf, PASSWORD } from '../issuer/build.ts'

// What docs/revocation.md and docs/security.md say is not covered. Where one of these fails, a limit is gone: say so there.

/** Whoever has the sessions' store does with them what they like. */
function tamper(t: Test, { dataDir }: BuiltIssuer, statement: string, ...values: string[]) {
  const db = new DatabaseSync(join(dataDir, 'sallyport.db'))
  t.teardown(() => db.close())
  t.equal(db.prepare(statement).run(...values).changes, 1)
}

const sidOf = ({ access_token: token }: { access_token: string }) => String(claimsOf(token).sid)

test('a password change tells sidecars nothing of a session that the store has lost', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register()
  const [here, lost, listed] = [await issuer.login(user), await issuer.login(user), await issuer.login(user)]
  tamper(t, issuer, 'DELETE FROM sessions WHERE sid = ?', sidOf(lost))
  const json = { current_password: PASSWORD, new_password: 'quite another pass phrase' }
  t.match(await issuer.call('POST', '/users/me/password', { token: here.access_token, json }), { status: 200 })

  const ended = issuer.events.flatMap((event) => (event.type === 'revocation' ? [event.revocation] : []))
  t.match(ended, [{ kind: 'session', sid: sidOf(listed) }], 'what is in the list')
  const refreshed = await issuer.call('POST', '/auth/refresh', { json: { refresh_token: lost.refresh_token } })
  t.equal(refreshed.status, 401, 'it is not refreshed')
  t.equal((await issuer.call('GET', '/users/me', { token: lost.access_token })).status, 401, 'nor good at the issuer')

  const all = await issuer.call('POST', '/auth/logout', { token: here.access_token, json: { all: true } })
  t.equal(all.status, 200)
  t.match(
    issuer.events.at(-1),
    { revocation: { kind: 'user', sub: user.id } },
    'logging out of everything needs no list',
  )
})
