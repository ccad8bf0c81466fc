import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { pause } from '../../../shared/lifecycle.ts'
import { SettingsError } from '../../../shared/settings.ts'
import type { RouteTable } from '../../../sidecar/domain/routes.ts'
import { startRoutesFile } from '../../../sidecar/feeds/routes-file.ts'
import { eventually } from '../../helpers/eventually.ts'
import { base, metric } from '../../helpers/revocations.ts'

async function folder(t: Test): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'routes-file-'))
  t.teardown(() => rm(path, { recursive: true, force: true }))
  return path
}

async function start(t: Test, content: string | Uint8Array, everyMs = 10) {
  const path = join(await folder(t), 'routes.yaml')
  await writeFile(path, content)
  return { path, ...(await startFile(t, path, everyMs)) }
}

async function startFile(t: Test, path: string, everyMs = 10) {
  const { log, lines, metrics, lifecycle } = base(t)
  const tables: RouteTable[] = []
  const onRoutes = (table: RouteTable) => void tables.push(table)
  await startRoutesFile({ path, onRoutes, log, metrics, lifecycle, everyMs })
  const names = () => tables.at(-1)?.routes.map((route) => route.name)
  return { tables, names, lines, metrics, lifecycle }
}

async function problems(t: Test, content: string | Uint8Array): Promise<string[]> {
  try {
    await start(t, content)
  } catch (error) {
    if (error instanceof SettingsError) return error.problems
    throw error
  }
  return []
}

const YAML = `
routes:
  - path: /public/**   # for everybody
    access: public
  - path: /admin/**
    roles: [admin]
    claims: { tier: pro }
    timeout: 5s
`

test('reads YAML and JSON', async (t) => {
  const { tables, names } = await start(t, YAML)
  t.equal(tables.length, 1)
  t.same(names(), ['/public/**', '/admin/**'])
  t.match(tables[0]!.match('GET', '/admin/a'), { roles: ['admin'], timeoutMs: 5000 })
  const json = await start(t, '{\n\t"routes": [\n\t\t{ "path": "/a", "access": "public" }\n\t]\n}\n')
  t.equal(json.tables[0]!.match('GET', '/a').access, 'public')
  t.equal((await start(t, '\ufeffroutes: []\n')).tables.length, 1, 'a byte order mark is no problem')
})

test('a file with problems does not start: every problem is listed, with its place', async (t) => {
  const found = await problems(t, 'routes:\n  - path: a\n  - path: /b\n    acess: public\n')
  t.equal(found.length, 2)
  t.match(found[0], /^ROUTES_FILE: .*routes\.yaml:2:5: routes\[0\]\.path: a pattern begins with \/$/)
  t.match(found[1], /routes\.yaml:4:5: routes\[1\]\.acess: there is no such field; did you mean access\?/)

  t.match(await problems(t, ''), [/a document with the field routes/], 'an empty file')
  t.match(await problems(t, 'routes: [\n'), [/routes\.yaml:2:1: /], 'a syntax error, with its line')
  t.match(await problems(t, 'routes:\n  - path: /a\n    path: /b\n'), [/unique/], 'a key given twice')
  t.match(await problems(t, '{"routes":[{"path":"/a","access":"required","access":"public"}]}'), [/unique/])
  t.match(await problems(t, 'routes: []\n---\nroutes: []\n'), [/multiple documents/], 'two documents')
  t.match(await problems(t, 'routes:\n  - !!js/function x\n'), [/tag/], 'a tag')
  t.match(await problems(t, 'routes: *nowhere\n'), [/[Aa]lias/], 'an alias of nothing')
  t.match(await problems(t, 'routes:\n  - <<: { access: public }\n    path: /a\n'), [/<<: there is no such field/])
  t.match(await problems(t, Buffer.from([0x72, 0xff])), [/cannot be read/], 'no UTF-8')
  t.match(await problems(t, `# ${'x'.repeat(1024 * 1024)}\nroutes: []\n`), [/more than 1048576 bytes/])
  const { log, metrics, lifecycle } = base(t)
  const path = join(await folder(t), 'absent.yaml')
  await t.rejects(startRoutesFile({ path, onRoutes: () => {}, log, metrics, lifecycle }), /cannot be read \(ENOENT\)/)
})

test('a document that multiplies itself is refused', async (t) => {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]']
  for (let i = 1; i < 9; i++)
    lines.push(
      `a${i}: &a${i} [${Array(10)
        .fill(`*a${i - 1}`)
        .join(', ')}]`,
    )
  const begin = performance.now()
  t.match(await problems(t, `${lines.join('\n')}\nroutes: *a8\n`), [/[Aa]lias/])
  t.ok(performance.now() - begin < 10_000)
})

test('a change is taken over without a restart', async (t) => {
  const { path, tables, names, lines, metrics } = await start(t, YAML)
  await writeFile(path, 'routes:\n  - path: /other\n')
  await eventually(() => tables.length === 2)
  t.same(names(), ['/other'])
  t.equal(await metric(metrics, 'routes_reloads_total', { outcome: 'applied' }), 1)
  t.equal(await metric(metrics, 'routes_file_right'), 1)
  t.match(lines.join(''), /read again/)
})

test('a broken change keeps the rules before, and says so in the log and a metric', async (t) => {
  const { path, tables, names, lines, metrics } = await start(t, YAML)
  await writeFile(path, 'routes:\n  - path: /other\n    roles: []\n')
  await eventually(async () => (await metric(metrics, 'routes_reloads_total', { outcome: 'refused' })) === 1)
  t.equal(await metric(metrics, 'routes_file_right'), 0)
  t.match(lines.join(''), /3:5: routes\[0\]\.roles/)
  await rm(path)
  await eventually(async () => (await metric(metrics, 'routes_reloads_total', { outcome: 'refused' })) === 2)
  t.match(lines.join(''), /ENOENT/)
  t.same(names(), ['/public/**', '/admin/**'])

  await writeFile(path, 'routes:\n  - path: /mended\n')
  await eventually(() => tables.length === 2)
  t.same(names(), ['/mended'])
  t.equal(await metric(metrics, 'routes_file_right'), 1)
  t.equal(lines.filter((line) => line.includes('has problems')).length, 2, 'each said once')
})

test('the same rules as at the start, after a broken change, are taken over again', async (t) => {
  const { path, tables, metrics } = await start(t, YAML)
  await writeFile(path, 'routes: none\n')
  await eventually(async () => (await metric(metrics, 'routes_file_right')) === 0)
  await writeFile(path, YAML)
  await eventually(async () => (await metric(metrics, 'routes_file_right')) === 1)
  t.equal(tables.length, 2)
})

test('a file that is put in the place of the old one, and a ConfigMap that changes its links', async (t) => {
  const at = await folder(t)
  await mkdir(join(at, '..1'))
  await mkdir(join(at, '..2'))
  await writeFile(join(at, '..1', 'routes.yaml'), 'routes:\n  - path: /one\n')
  await writeFile(join(at, '..2', 'routes.yaml'), 'routes:\n  - path: /two\n')
  await symlink('..1', join(at, '..data'))
  await symlink(join('..data', 'routes.yaml'), join(at, 'routes.yaml'))
  const { tables, names } = await startFile(t, join(at, 'routes.yaml'))
  t.same(names(), ['/one'])
  await symlink('..2', join(at, '..data_tmp'))
  await rename(join(at, '..data_tmp'), join(at, '..data'))
  await eventually(() => tables.length === 2)
  t.same(names(), ['/two'])

  await writeFile(join(at, 'new.yaml'), 'routes:\n  - path: /three\n')
  await rename(join(at, 'new.yaml'), join(at, 'routes.yaml'))
  await eventually(() => tables.length === 3)
  t.same(names(), ['/three'])
})

test('a file that is still being written is not taken over', async (t) => {
  const everyMs = 50
  const { path, tables, lifecycle } = await start(t, YAML, everyMs)
  // Each look finds it longer, and each beginning by itself would be a right file with fewer rules.
  const until = performance.now() + 10 * everyMs
  let [content, written, standstills] = ['routes:\n', 0, 0]
  for (; performance.now() < until; written++) {
    content += `  - path: /part${written}\n`
    const began = performance.now()
    await writeFile(path, content)
    await pause(1)
    if (performance.now() - began > everyMs / 2) standstills++
  }
  await eventually(() => tables.at(-1)?.routes.length === written)
  // One that was the same at two looks, because the machine stood still, may be among them; one at every look may not.
  t.ok(tables.length <= 5 + standstills, `${tables.length} tables in ten looks at ${written} states`)
  await lifecycle.close()
})
