import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { checkKeyFileMode } from '../../../issuer/adapters/key-file-mode.ts'
import { base } from '../../helpers/revocations.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'

test('a key file that others may read is worth a warning, once, without what is in it', async (t) => {
  const { log, lines } = base(t)
  const path = join(temporaryFolder(t), 'key.pem')
  writeFileSync(path, 'the private key')
  for (const mode of [0o600, 0o400]) {
    chmodSync(path, mode)
    checkKeyFileMode(path, log)
  }
  checkKeyFileMode(undefined, log)
  checkKeyFileMode(`${path}.missing`, log)
  t.same(lines, [])
  for (const mode of [0o640, 0o604]) {
    chmodSync(path, mode)
    checkKeyFileMode(path, log)
  }
  t.equal(lines.length, 2)
  t.match(JSON.parse(lines[0]!), { level: 40, path, mode: '640' })
  t.notMatch(lines.join(), 'the private key')
})
