import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { readOrCreateMasterKey } from '../../../issuer/adapters/master-key-file.ts'

test('the key is made once, for its owner alone', async (t) => {
  const folder = join(t.testdir(), 'data')
  const key = readOrCreateMasterKey(folder)
  t.ok(key.length >= 43)
  t.equal(readOrCreateMasterKey(folder), key)
  t.equal(statSync(join(folder, 'master.key')).mode & 0o777, 0o600)
  t.same(readdirSync(folder), ['master.key'], 'no draft is left')
  t.not(readOrCreateMasterKey(join(t.testdir(), 'other')), key)
})

test('a file that holds no key is never replaced', async (t) => {
  for (const content of ['', 'short', `${'x'.repeat(25)} ${'x'.repeat(25)}`]) {
    const folder = t.testdir({ 'master.key': content })
    t.throws(() => readOrCreateMasterKey(folder), /master key/)
  }
})

test('a folder that cannot be is named', async (t) => {
  const folder = join(t.testdir({ file: '' }), 'file', 'data')
  t.throws(() => readOrCreateMasterKey(folder), { code: 'ENOTDIR', path: String })
})
