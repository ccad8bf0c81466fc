import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { npmSbom } from '../../bin/image/npm-sbom.ts'
import { type Component, describeImage, type Sbom } from '../../bin/image/sbom.ts'
import { parseLdd } from '../../bin/image/shared-libraries.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Licences under which a dependency may be given on with a work under Apache-2.0; all are permissive. */
const COMPATIBLE = [
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'ISC',
  'MIT',
  'MIT-0',
  'Unlicense',
]

const PACKAGES = ['libc6', 'libstdc++6'].map((name) => ({
  name,
  version: '2.41-12+deb13u4',
  architecture: 'arm64',
  source: 'glibc',
  status: '',
}))

function imageSbom(builtAtMs = 0): Sbom {
  return describeImage({
    npm: npmSbom(ROOT),
    installed: JSON.parse(readFileSync(join(ROOT, 'node_modules/.package-lock.json'), 'utf8')).packages,
    versions: process.versions,
    packages: PACKAGES,
    distribution: { id: 'debian', version: '13' },
    builtAtMs,
  })
}

test('the SBOM names dependencies, Node, what Node is made of, and the libraries', async (t) => {
  const sbom = imageSbom(1_700_000_000_000)
  const find = (name: string, among: Component[] = sbom.components) => among.find((each) => each.name === name)
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  for (const [name, version] of Object.entries(dependencies)) t.match(find(name), { version }, name)
  t.equal(find('typescript'), undefined, 'no tool for development')
  t.equal(find('@node-rs/argon2-win32-x64-msvc'), undefined, 'nothing for other platforms')
  t.ok(sbom.components.some(({ name }) => name.startsWith(`@node-rs/argon2-${process.platform}-${process.arch}`)))

  const node = find('node')
  t.match(node, { version: process.versions.node, cpe: `cpe:2.3:a:nodejs:node.js:${process.versions.node}:` })
  const openssl = process.versions.openssl?.replace(/\+.*/, '')
  t.match(find('openssl', node?.components), { version: openssl, cpe: `cpe:2.3:a:openssl:openssl:${openssl}:` })
  const named = [...sbom.components, ...(node?.components ?? [])]
  t.same(
    named.filter(({ version }) => !/^\d/.test(version)),
    [],
    'each has a version',
  )
  t.equal(
    find('libstdc++6')?.purl,
    'pkg:deb/debian/libstdc%2B%2B6@2.41-12%2Bdeb13u4?arch=arm64&distro=debian-13&upstream=glibc',
  )

  t.match(sbom.metadata, { timestamp: '2023-11-14T22:13:20.000Z', component: { name: 'sallyport' } })
  const root = sbom.dependencies.find(({ ref }) => ref === sbom.metadata.component['bom-ref'])
  t.ok(root?.dependsOn?.includes(node?.['bom-ref'] ?? ''))
  const known = new Set([sbom.metadata.component, ...sbom.components].map((each) => each['bom-ref']))
  const unknown = sbom.dependencies.flatMap(({ ref, dependsOn = [] }) => [ref, ...dependsOn])
  t.same(
    unknown.filter((ref) => !known.has(ref)),
    [],
    'it depends on nothing that it does not name',
  )
  t.same(imageSbom(1_700_000_000_000), sbom, 'twice the same')
})

test('every dependency has a licence that allows to give it on under Apache-2.0', async (t) => {
  const { components } = imageSbom()
  t.ok(components.length > 100)
  for (const { name, licenses = [], purl } of components.filter((each) => !each.purl.startsWith('pkg:deb/'))) {
    const ids = licenses.map(({ license, expression }) => license?.id ?? expression ?? license?.name ?? 'none')
    t.ok(ids.length > 0 && ids.every((id) => COMPATIBLE.includes(id)), `${name}: ${ids.join(', ') || 'none'}`, { purl })
  }
})

test('what ldd prints: each library by the path it was found at', async (t) => {
  const output = `	linux-vdso.so.1 (0x00007fcecb8ae000)
	libc.so.6 => /lib/aarch64-linux-gnu/libc.so.6 (0x00007fcecb21e000)
	/lib/ld-linux-aarch64.so.1 (0x00007fcecb8b0000)
`
  t.same(parseLdd(output), ['/lib/aarch64-linux-gnu/libc.so.6', '/lib/ld-linux-aarch64.so.1'])
  t.same(parseLdd('	statically linked\n'), [])
  t.throws(() => parseLdd(`${output}	libatomic.so.1 => not found\n`), /libatomic\.so\.1 is not here/)
})
