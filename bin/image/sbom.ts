import type { DebianPackage } from './shared-libraries.ts'

/** The fields of a CycloneDX 1.5 component that are used here. */
export interface Component {
  type: string
  'bom-ref': string
  name: string
  version: string
  purl: string
  cpe?: string
  scope?: string
  licenses?: { license?: { id?: string; name?: string }; expression?: string }[]
  components?: Component[]
}

export interface Sbom {
  serialNumber?: string
  metadata: { timestamp: string; component: Component; lifecycles?: unknown }
  components: Component[]
  dependencies: { ref: string; dependsOn?: string[] }[]
}

export interface Contents {
  /** What `npm sbom` printed of all that the lock file names, for development and for other platforms too. */
  npm: Sbom
  /** npm's packages in the image. */
  installed: InstalledPackages
  /** `process.versions`. */
  versions: Record<string, string | undefined>
  packages: DebianPackage[]
  /** `ID` and `VERSION_ID` of /etc/os-release. */
  distribution: { id: string; version: string }
  /** The same inputs give the same document, so it is told: milliseconds. */
  builtAtMs: number
}

/** `packages` of node_modules/.package-lock.json, by path. */
export type InstalledPackages = Record<string, { version?: string; dev?: boolean }>

/** `npm sbom --omit=dev` also omits what is needed both for development and otherwise, so this is decided here. */
function bomRefs(installed: InstalledPackages): Set<string> {
  const used = Object.entries(installed).filter(([, { dev }]) => !dev)
  return new Set(used.map(([path, { version }]) => `${path.replace(/^.*node_modules\//, '')}@${version}`))
}

/** The whole image: npm's packages, Node with what is compiled into it, and the system's libraries. */
export function describeImage(contents: Contents): Sbom {
  const { npm, versions, packages, distribution, builtAtMs } = contents
  const root: Component = { ...npm.metadata.component, type: 'application', name: 'sallyport' }
  const refs = bomRefs(contents.installed)
  const installed = npm.components.filter((component) => refs.delete(component['bom-ref']))
  if (refs.size > 0) throw new Error(`npm sbom does not name ${[...refs].join(', ')}`)
  const node = nodeComponent(versions)
  const system = packages.map((each) => debianComponent(each, distribution))
  const components = [...installed, node, ...system]
  const known = new Set([root, ...components].map((component) => component['bom-ref']))
  const runtime = [node, ...system].map((component) => component['bom-ref'])
  const dependencies = npm.dependencies
    .filter(({ ref }) => known.has(ref))
    .map(({ ref, dependsOn = [] }) => ({
      ref,
      dependsOn: [...dependsOn.filter((other) => known.has(other)), ...(ref === root['bom-ref'] ? runtime : [])],
    }))
  const { serialNumber: _random, ...rest } = npm
  const { lifecycles: _before, ...metadata } = npm.metadata
  const timestamp = new Date(builtAtMs).toISOString()
  return { ...rest, metadata: { ...metadata, timestamp, component: root }, components, dependencies }
}

/** Entries of `process.versions` that name an interface or data, no code. (What this Node was built without is empty.) */
const NOT_CODE = ['node', 'modules', 'napi', 'unicode', 'cldr', 'tz']
/** The names under which vulnerabilities are published, where they are not the name of the entry twice. */
const CPE_NAMES: Record<string, string> = {
  ares: 'c-ares:c-ares',
  brotli: 'google:brotli',
  cjs_module_lexer: 'nodejs:cjs-module-lexer',
  icu: 'unicode:international_components_for_unicode',
  llhttp: 'llhttp:llhttp',
  undici: 'nodejs:undici',
  uv: 'libuv:libuv',
  v8: 'google:v8',
  zstd: 'facebook:zstandard',
}

function nodeComponent(versions: Contents['versions']): Component {
  const embedded = Object.entries(versions)
    .filter(([name, version]) => version && !NOT_CODE.includes(name))
    .map(([name, version = '']) => {
      // What follows is how Node builds it: `3.5.4+quic`, `14.6.202.33-node.18`.
      const plain = version.replace(/[+-].*/, '')
      return generic(name, plain, CPE_NAMES[name] ?? `${name}:${name}`, 'library')
    })
  const node = generic('node', versions.node ?? '', 'nodejs:node.js', 'platform')
  return { ...node, licenses: [{ license: { id: 'MIT' } }], components: embedded }
}

function generic(name: string, version: string, cpe: string, type: string): Component {
  const purl = `pkg:generic/${name}@${version}`
  return { type, 'bom-ref': purl, name, version, purl, cpe: `cpe:2.3:a:${cpe}:${version}:*:*:*:*:*:*:*` }
}

/** Of the libraries that Node needs. Debian's own statement, a text for people, is in /usr/share/doc of the image. */
const LIBRARY_LICENSES: Record<string, string> = {
  libatomic1: 'GPL-3.0-or-later WITH GCC-exception-3.1',
  libc6: 'LGPL-2.1-or-later',
  'libgcc-s1': 'GPL-3.0-or-later WITH GCC-exception-3.1',
  'libstdc++6': 'GPL-3.0-or-later WITH GCC-exception-3.1',
}

function debianComponent(each: DebianPackage, { id, version: release }: Contents['distribution']): Component {
  const { name, version, architecture, source } = each
  const query = `arch=${architecture}&distro=${id}-${release}&upstream=${encodeURIComponent(source)}`
  const purl = `pkg:deb/${id}/${encodeURIComponent(name)}@${encodeURIComponent(version)}?${query}`
  const expression = LIBRARY_LICENSES[name]
  const licenses = expression ? { licenses: [{ expression }] } : {}
  return { type: 'library', 'bom-ref': purl, name, version, purl, ...licenses }
}
