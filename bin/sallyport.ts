#!/usr/bin/env node
import { enableCompileCache } from 'node:module'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import packageJson from '../package.json' with { type: 'json' }
import { describeFailure } from './failure.ts'

// Stripping the types of a hundred files costs 200 ms and 40 MB at every start; the cache takes that away. It belongs
// to the data unless the environment names another place (the image does).
if (!process.env.NODE_COMPILE_CACHE) enableCompileCache(join(process.env.DATA_DIR || 'data', 'compile-cache'))

// Password hashing runs on libuv's pool, and so do DNS and file access: a thread for each core, and some to spare.
process.env.UV_THREADPOOL_SIZE ||= String(Math.max(4, availableParallelism() + 2))

const program = new Command('sallyport')
  .description('Stateless JWTs with a logout that works.')
  .version(packageJson.version)
  .addHelpText('after', '\nEvery setting is an environment variable: `sallyport settings` lists them.')
  .showHelpAfterError()

program
  .command('start')
  .description('everything in one process: issuer, demo service (unless UPSTREAM is set) and sidecar')
  .action(run(async () => (await import('./start.ts')).start(process.env)))

program
  .command('issuer')
  .description('the issuer alone')
  .action(run(async () => (await import('./serve.ts')).serveIssuer(process.env)))

program
  .command('sidecar')
  .description('one sidecar, in front of UPSTREAM')
  .action(run(async () => (await import('./serve.ts')).serveSidecar(process.env)))

program
  .command('demo')
  .description('a service that answers with the request and the identity headers it received (DEMO_HOST, DEMO_PORT)')
  .action(run(async () => (await import('./serve.ts')).serveDemo(process.env)))

program
  .command('settings')
  .description('prints every setting with its default and its meaning')
  .action(run(async () => void process.stdout.write((await import('./settings-table.ts')).settingsTable())))

program
  .command('health')
  .argument('[url]', 'address of /readyz; by default the admin port of a sidecar or the port of an issuer')
  .description('asks a running instance whether it is ready; exit code 0 when it is (for HEALTHCHECK)')
  .action(run(async (url?: string) => (await import('./health.ts')).checkHealth(process.env, url)))

await program.parseAsync()

/** Ends with one clear line for each thing that is wrong and exit code 1, never with a stack trace. */
function run<A extends unknown[]>(action: (...args: A) => Promise<void>): (...args: A) => Promise<void> {
  return async (...args) => {
    try {
      await action(...args)
    } catch (error) {
      for (const line of describeFailure(error)) process.stderr.write(`sallyport: ${line}\n`)
      process.exit(1)
    }
  }
}
