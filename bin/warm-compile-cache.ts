import { globSync } from 'node:fs'
import { enableCompileCache, flushCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

// Run once while the image is built: imports all there is, what roles import only when a setting asks for it included, so
// that the compile cache holds it. A single file that it lacks has every start load Node's type stripper, which is 20 MB
// resident for as long as the process lives.
enableCompileCache(process.env.NODE_COMPILE_CACHE)
const PROGRAMS = ['bin/sallyport.ts', 'bin/warm-compile-cache.ts']
const root = new URL('../', import.meta.url)
const files = globSync('{bin,issuer,sidecar,shared}/**/*.ts', { cwd: fileURLToPath(root), exclude: PROGRAMS })
for (const file of files) await import(new URL(file, root).href)
flushCompileCache()
