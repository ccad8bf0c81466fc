import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  globSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { NODE, toJavaScript } from './javascript.ts'
import { npmSbom } from './npm-sbom.ts'
import { describeImage } from './sbom.ts'
import { packagesOf, sharedLibraries } from './shared-libraries.ts'

// node bin/image/lay-out.ts FOLDER: run by the Dockerfile, in the folder of the application. Puts into FOLDER all files of
// the image: Node, the libraries it is linked with, the application, and nothing that could run a command line.

const [root = ''] = process.argv.slice(2)
if (!root) throw new Error('usage: node bin/image/lay-out.ts FOLDER')
const builtAtS = Number(process.env.SOURCE_DATE_EPOCH || 0)

const inRoot = (path: string): string => {
  const target = join(root, path)
  mkdirSync(dirname(target), { recursive: true })
  return target
}
const copy = (path: string, target = path): void => copyFileSync(realpathSync(path), inRoot(target))
const write = (path: string, text: string): void => writeFileSync(inRoot(path), text)

copy(process.execPath, NODE)
if (existsSync('/usr/local/LICENSE')) copy('/usr/local/LICENSE', '/usr/share/doc/node/LICENSE')
const addons = globSync('node_modules/**/*.node')
const libraries = sharedLibraries([process.execPath, ...addons])
for (const library of libraries) copy(library)

const packages = packagesOf(libraries)
for (const { name, status } of packages) {
  copy(`/usr/share/doc/${name}/copyright`)
  // Where scanners look for the packages of an image that has no package manager.
  write(`/var/lib/dpkg/status.d/${name}`, status)
}
copy('/etc/os-release')

// The names of who may run it, and where host names are looked for: without the last, DNS would come before /etc/hosts.
write('/etc/passwd', 'root:x:0:0:root:/:/sbin/nologin\nsallyport:x:1000:1000::/data:/sbin/nologin\n')
write('/etc/group', 'root:x:0:\nsallyport:x:1000:\n')
write('/etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\n')

for (const file of globSync('{bin,issuer,sidecar,shared}/**/*.ts', { exclude: ['bin/image/**'] })) {
  write(`/app/${file.replace(/ts$/, 'js')}`, toJavaScript(readFileSync(file, 'utf8')))
}
copy('package.json', '/app/package.json')
copy('LICENSE', '/app/LICENSE')
// Types, source maps and dotfiles are for editors, debuggers and who develops the package.
const isForTools = (path: string): boolean => /\.([cm]?ts|map)$|\/\.[^/]*$/.test(path)
cpSync('node_modules', join(root, 'app/node_modules'), { recursive: true, filter: (path) => !isForTools(path) })
symlinkSync('/app/bin/sallyport.js', inRoot('/usr/local/bin/sallyport'))
chmodSync(join(root, 'app/bin/sallyport.js'), 0o755)

const osRelease = readFileSync('/etc/os-release', 'utf8')
const sbom = describeImage({
  npm: npmSbom(),
  installed: JSON.parse(readFileSync('node_modules/.package-lock.json', 'utf8')).packages,
  versions: process.versions,
  packages,
  distribution: {
    id: /^ID="?([\w.-]+)/m.exec(osRelease)?.[1] ?? 'linux',
    version: /^VERSION_ID="?([\w.-]+)/m.exec(osRelease)?.[1] ?? 'unknown',
  },
  builtAtMs: builtAtS * 1000,
})
write('/app/sbom.cdx.json', `${JSON.stringify(sbom, null, 2)}\n`)

mkdirSync(inRoot('/tmp'))
chmodSync(inRoot('/tmp'), 0o1777)
// Uid 1000, or any with group 0: platforms that choose the uid themselves give that group.
mkdirSync(inRoot('/data'))
chownSync(inRoot('/data'), 1000, 0)
chmodSync(inRoot('/data'), 0o770)

// The same sources make the same image.
for (const path of globSync('**', { cwd: root })) lutimesSync(join(root, path), builtAtS, builtAtS)
