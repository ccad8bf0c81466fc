import { enableCompileCache, flushCompileCache } from 'node:module'

// Run once while the image is built: imports what the roles import, so that the compile cache holds all of it.
enableCompileCache(process.env.NODE_COMPILE_CACHE)
for (const module of [
  './start.ts',
  './serve.ts',
  './health.ts',
  './failure.ts',
  '../issuer/main.ts',
  '../sidecar/main.ts',
])
  await import(module)
flushCompileCache()
