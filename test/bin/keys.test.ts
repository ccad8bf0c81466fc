import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { thumbprint } from '../../issuer/domain/generate-key.ts'
import { runCommand } from '../helpers/command-line.ts'
import { ready, startRole } from '../helpers/deployment.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

/** A key whose id begins so: one of 64 begins with any one character. */
function keyNamed(beginning: string): { kid: string; privateKey: KeyObject } {
  for (;;) {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const kid = thumbprint(publicKey)
    if (kid.startsWith(beginning)) return { kid, privateKey }
  }
}

test('a key whose id begins like an option is revoked like any other', { timeout: 300_000 }, async (t) => {
  for (const beginning of ['-', '-h', '--']) {
    const { kid, privateKey } = keyNamed(beginning)
    const folder = temporaryFolder(t)
    const SIGNING_KEY_FILE = join(folder, 'key.pem')
    writeFileSync(SIGNING_KEY_FILE, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
    const env = { DATA_DIR: folder, ISSUER_PORT: '0', FEED_TOKEN: 'a feed token that only the tests know' }
    const issuer = await startRole(t, 'issuer', { ...env, SIGNING_KEY_FILE })
    await ready(issuer.url)
    t.match(await runCommand(t, env, 'keys', 'revoke', kid), { code: 0, lines: [{ message: /is revoked/ }] }, kid)
    t.match(await runCommand(t, env, 'keys', 'revoke', '--', kid), { code: 0 }, 'and once more')
  }
})

test('what is no key is not taken for one', async (t) => {
  const env = { DATA_DIR: temporaryFolder(t) }
  for (const [args, stderr] of [
    [['nobody'], /^sallyport: there is no such key; `sallyport keys list` shows them\n$/],
    [['--now'], /^error: unknown option '--now'\nUsage: sallyport keys revoke /],
    [['a', 'b'], /^error: too many arguments for 'revoke'/],
    [[], /^error: missing required argument 'kid'/],
  ] as const) {
    t.match(await runCommand(t, env, 'keys', 'revoke', ...args), { code: 1, stderr }, args.join(' '))
  }
})
