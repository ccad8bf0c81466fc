import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { checkAuditEvent, DOCUMENTED_EVENTS } from '../helpers/audit-events.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

test('docs/audit-log.md has every event that the issuer records, and no other', async (t) => {
  const sources = globSync('issuer/**/*.ts', { cwd: ROOT }).map((file) => readFileSync(`${ROOT}${file}`, 'utf8'))
  const recorded = sources.flatMap((text) => [...text.matchAll(/audit\.record\(\s*([^,]+),/g)].map(([, name]) => name!))
  const names = recorded.flatMap((text) => [...text.matchAll(/'(\w+)'/g)].map(([, name]) => name!))
  t.ok(names.length > 20)
  t.same([...new Set(names)].sort(), [...DOCUMENTED_EVENTS.keys()].sort())
})

// Every test that runs the issuer (test/issuer/build.ts) checks each event that is recorded; here is that it would tell.
test('what is not documented, or must not be recorded, is noticed', async (t) => {
  t.doesNotThrow(() => checkAuditEvent('login', { sub: 'id', address: '::1', user_agent: 'x@y' }))
  t.throws(() => checkAuditEvent('login', { password: 'x' }), /does not have login with password/)
  t.throws(() => checkAuditEvent('unheard_of', { sub: 'x' }), /does not have unheard_of/)
  for (const secret of [
    'a@example.com',
    'eyJhbGciOi',
    'mnIHb2cyOzYV0tSVtGTKQ4oqHFMVKJ6kFSq7SYLM1Zk',
    '$argon2id$v=19',
  ]) {
    t.throws(() => checkAuditEvent('login', { sub: secret }), /has a secret in sub/)
  }
})
