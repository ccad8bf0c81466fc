import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { meetsHashFloor } from '../../issuer/domain/password-hash.ts'
import { FAILURE_RULES, FIRST_WAIT_MS, LONGEST_WAIT_MS } from '../../issuer/domain/throttle.ts'
import { ISSUER_SETTINGS } from '../../issuer/settings.ts'
import { SIDECAR_SETTINGS } from '../../sidecar/settings.ts'
import { CLASSES } from '../attack/classes.ts'

const read = (path: string) => readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8')
const PAGE = read('docs/security.md')
const REVOCATION = read('docs/revocation.md')

/** The product or number that a constant is written as. */
function constantOf(path: string, name: string): number | undefined {
  const [, text] = new RegExp(`\\bconst ${name} = ([\\d_ *]+)$`, 'm').exec(read(path)) ?? []
  return text?.split('*').reduce((product, factor) => product * Number(factor.replaceAll('_', '')), 1)
}

test('every bound in docs/security.md is that of the source', async (t) => {
  const [, table = ''] = /<!-- bounds -->\n([\s\S]*?)<!-- \/bounds -->/.exec(PAGE) ?? []
  const rows = table.trim().split('\n').slice(2)
  t.ok(rows.length > 20)
  for (const row of rows) {
    const [what = '', most = '', where = ''] = row.replace(/^\| | \|$/g, '').split(' | ')
    const [, path, name] = /^`([^`]+)` `([^`]+)`$/.exec(where) ?? []
    const said = Number(/^[\d,]+/.exec(most)?.[0].replaceAll(',', ''))
    t.equal(constantOf(path!, name!), said, `${what}: ${most}`)
  }
})

test('every class of the attack suite is named, and none that is not there', async (t) => {
  const [, section = ''] = /## Attacks and what stands against them\n([\s\S]*?)\n## /.exec(PAGE) ?? []
  for (const { id } of CLASSES) t.ok(section.includes(`\`${id}\``), id)
  const last = section.split('\n').map((row) => row.split(' | ').at(-1) ?? '')
  const named = last.flatMap((cell) => [...cell.matchAll(/`([a-z-]+)`/g)].map(([, id]) => id!))
  const ids = CLASSES.map(({ id }) => id as string)
  t.same(
    named.filter((id) => !ids.includes(id)),
    [],
  )
})

test('the numbers of packages are right', async (t) => {
  const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> }
  const { packages } = JSON.parse(read('package-lock.json')) as {
    packages: Record<string, { dev?: true; devOptional?: true; optional?: true; integrity?: string }>
  }
  const all = Object.entries(packages).filter(
    ([path, { dev, devOptional, optional }]) => path !== '' && !dev && !devOptional && !optional,
  )
  t.match(PAGE, `- ${Object.keys(dependencies).length} direct dependencies, exact versions; ${all.length} packages`)
  t.same(
    Object.values(dependencies).filter((version) => !/^\d+\.\d+\.\d+$/.test(version)),
    [],
  )
  t.same(
    all.filter(([, { integrity }]) => !integrity).map(([path]) => path),
    [],
    'each has its hash',
  )
})

test('alerts and metrics that the pages name exist', async (t) => {
  const alerts = read('charts/issuer/alerts.yaml')
  for (const [, name] of `${PAGE}${REVOCATION}`.matchAll(/`(Sallyport[A-Za-z]+)`/g))
    t.ok(alerts.includes(`alert: ${name}\n`), name!)
  const metrics = read('docs/metrics.md')
  const named = [...`${PAGE}${REVOCATION}`.matchAll(/`((?:revocation|sidecar|jwks)_[a-z_]+)(?:\{[^`]*\})?`/g)]
  t.ok(named.length > 5)
  for (const [, name] of named) t.ok(metrics.includes(`| \`${name}\` |`), name!)
})

test('every variant that docs/revocation.md counts is one', async (t) => {
  const { VARIANTS } = await import('../model/variants.ts')
  t.equal(Object.keys(VARIANTS).length, 9)
  t.match(REVOCATION, 'Nine wrong variants')
})

test('the numbers in the text are those of the code', async (t) => {
  const { pair, account, network } = FAILURE_RULES
  t.same([FIRST_WAIT_MS, pair.free, account.free, network.free, LONGEST_WAIT_MS], [1000, 5, 20, 50, 300_000])
  t.match(
    PAGE,
    /1 s after 5 by one network\s+at one account, 20 at one account, 50 of one network, doubling up to 5 min/,
  )

  t.ok(meetsHashFloor({ memoryKib: 7168, time: 5, parallelism: 1 }))
  t.notOk(meetsHashFloor({ memoryKib: 7168, time: 4, parallelism: 1 }), '35,840 is the least product')
  t.notOk(meetsHashFloor({ memoryKib: 7167, time: 6, parallelism: 1 }))
  t.match(PAGE, /7,168 KiB, memory times passes at least 35,840/)

  const { HASH_MEMORY_KIB, HASH_TIME, ACCESS_TOKEN_TTL, REFRESH_TOKEN_TTL, REFRESH_TOKEN_IDLE } = ISSUER_SETTINGS
  t.same(
    [HASH_MEMORY_KIB, HASH_TIME].map(({ default: value }) => value),
    [19_456, 2],
  )
  const day = 86_400_000
  const lives = [ACCESS_TOKEN_TTL, REFRESH_TOKEN_TTL, REFRESH_TOKEN_IDLE].map(({ default: value }) => value)
  t.same(lives, [300_000, 28 * day, 14 * day])
  const { MAX_STALENESS, FEED_FALLBACK_AFTER, DIGEST_INTERVAL } = SIDECAR_SETTINGS
  t.same(
    [MAX_STALENESS, FEED_FALLBACK_AFTER, DIGEST_INTERVAL].map(({ default: value }) => value),
    [60_000, 3000, 60_000],
  )
})
