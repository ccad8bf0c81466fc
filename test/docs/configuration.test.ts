import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Test, test } from 'tap'
import { checkSettings, KNOWN_SETTINGS, type Role } from '../../bin/known-settings.ts'
import { startNode } from '../helpers/process.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { configurationPage, FILE } from './configuration.ts'

const TEXT = readFileSync(FILE, 'utf8')
const PROGRAM = fileURLToPath(new URL('../../bin/sallyport.ts', import.meta.url))

/** Shell blocks of one section. */
function blocksOf(heading: string): string[] {
  const [, section = ''] = new RegExp(`\n## ${heading}\n([\\s\\S]*?)\n## `).exec(TEXT) ?? []
  return [...section.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, text]) => text!)
}

/** The variables of a block. A file that one of them names is there, with a secret in it. */
function environmentOf(t: Test, block: string): Record<string, string> {
  const pairs = [...block.matchAll(/^([A-Z_]+)=(\S+)$/gm)].map(([, name, value]) => [name!, value!] as const)
  const secrets: Record<string, string> = {
    MONGO_URL_FILE: 'mongodb://mongo/sallyport',
    REDIS_URL_FILE: 'redis://redis',
  }
  return Object.fromEntries(
    pairs.map(([name, value]) => {
      if (!value.startsWith('/run/secrets/')) return [name, value]
      const path = join(temporaryFolder(t), name)
      writeFileSync(path, secrets[name] ?? 'a secret of more than thirty-two characters')
      return [name, path]
    }),
  )
}

function problemsOf(env: Record<string, string>, role: Role): string {
  try {
    checkSettings(env, [role])
    return ''
  } catch (error) {
    return (error as Error).message
  }
}

test('docs/configuration.md has every setting as it is: else run node test/docs/write.ts', async (t) => {
  t.equal(configurationPage(), TEXT)
  const listed = new Set([...TEXT.matchAll(/^\| `([A-Z_]+)`/gm)].map(([, name]) => name))
  for (const name of KNOWN_SETTINGS) t.ok(listed.has(name), name)
})

test('what the page names is a setting', async (t) => {
  const others = /^(?:NODE_\w+|SALLYPORT_TOKEN|NAME|NAME_FILE|ISSUER_PORT_4000_TCP)$/
  const names = [...TEXT.matchAll(/`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b/g)].map(([, name]) => name!)
  t.ok(names.length > 150)
  for (const name of new Set(names)) {
    t.ok(
      others.test(name) || KNOWN_SETTINGS.includes(name.replace(/_FILE$/, '')) || KNOWN_SETTINGS.includes(name),
      name,
    )
  }
})

test('the examples are enough to start with', async (t) => {
  const [issuer = '', sidecar = ''] = blocksOf('What has to be set')
  t.equal(problemsOf(environmentOf(t, issuer), 'issuer'), '')
  t.equal(problemsOf(environmentOf(t, sidecar), 'sidecar'), '')
})

test('what has to be set has to be set', async (t) => {
  t.equal(problemsOf({}, 'issuer'), '')
  t.match(problemsOf({ MONGO_URL: 'mongodb://mongo' }, 'issuer'), /^MASTER_KEY: is needed/)
  t.match(problemsOf({ REDIS_URL: 'redis://redis' }, 'issuer'), /^MASTER_KEY: is needed/)
  t.match(problemsOf({}, 'sidecar'), /^UPSTREAM: is needed.*\nFEED_TOKEN, KAFKA_BROKERS: one of them is needed/)
  const needed = problemsOf({}, 'injector').split('\n')
  t.same(
    needed.map((line) => line.split(':')[0]),
    ['INJECTOR_TLS_CERT_FILE', 'INJECTOR_TLS_KEY_FILE', 'INJECTOR_TEMPLATE_FILE'],
  )
  for (const role of ['issuer', 'sidecar', 'injector'] as const) {
    t.match(problemsOf({ UPSTERAM: 'x', ISSUER_PROT: '1' }, role), /UPSTERAM: .*UPSTREAM\?[\s\S]*ISSUER_PROT: /, role)
  }
})

test('sallyport settings --check says whether a role would start', async (t) => {
  const [command = ''] = blocksOf('What is checked, and when')
  const [, assignments = '', args = ''] = /^((?:[A-Z_]+=\S+ )+)sallyport (.*)$/m.exec(command) ?? []
  const env = Object.fromEntries(
    assignments
      .trim()
      .split(' ')
      .map((pair) => pair.split(/=(.*)/).slice(0, 2)),
  )
  const right = startNode(t, PROGRAM, { args: args.split(' '), env })
  t.same(await right.waitForExit(), { code: 0, signal: null })
  t.equal(right.stdout(), 'sidecar: settings are right\n')
  const wrong = startNode(t, PROGRAM, { args: args.split(' '), env: { ...env, MAX_STALENESS: '60' } })
  t.same(await wrong.waitForExit(), { code: 1, signal: null })
  t.match(wrong.stderr(), /^sallyport: MAX_STALENESS: "60" is not a duration/)
  const unknown = startNode(t, PROGRAM, { args: ['settings', '--check', 'proxy'] })
  t.same(await unknown.waitForExit(), { code: 1, signal: null })
  t.match(unknown.stderr(), /^sallyport: --check: proxy is none of issuer, sidecar, injector, demo/)
})

test('sallyport settings prints every setting', async (t) => {
  const child = startNode(t, PROGRAM, { args: ['settings'] })
  t.same(await child.waitForExit(), { code: 0, signal: null })
  for (const name of KNOWN_SETTINGS) t.match(child.stdout(), `\n| \`${name}\``, name)
})
