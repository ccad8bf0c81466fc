#!/usr/bin/env node
import { availableParallelism } from 'node:os'
import { Command } from 'commander'
import packageJson from '../package.json' with { type: 'json' }
import type { CheckOptions } from './check.ts'
import { keepCompiledCode } from './compile-cache.ts'
import { describeFailure } from './failure.ts'
import { addHelpCommand, shortenErrors } from './help.ts'
import { markKeyIds } from './key-ids.ts'
import type { SettingsOptions } from './settings.ts'
import type { CreateOptions, ListOptions } from './users.ts'
import type { ExportUsersOptions, ImportUsersOptions } from './users-import.ts'

// Password hashing runs on libuv's pool, and so do DNS and file access: a thread for each core, and some to spare.
process.env.UV_THREADPOOL_SIZE ||= String(Math.max(4, availableParallelism() + 2))

/** What the help of a role says of its settings, which are no options. */
const settingsHelp = (role: string, example: string): string => `
Settings are environment variables: \`sallyport settings\` lists them, \`sallyport settings --check ${role}\` checks them.

Example:
  ${example} sallyport ${role}`

const START_HELP = `
Settings are environment variables, those of issuer and sidecar: \`sallyport settings\` lists them.

Example:
  UPSTREAM=http://127.0.0.1:3000 sallyport start`

const program = new Command('sallyport')
  .description('Stateless JWTs with a logout that works.')
  .version(packageJson.version)
  .addHelpText('after', '\nEvery setting is an environment variable: `sallyport settings` lists them.')
  .hook('preAction', (_program, command) => keepCompiledCode(process.env, command.name()))

program
  .command('start')
  .description('everything in one process: issuer, demo service (unless UPSTREAM is set) and sidecar')
  .addHelpText('after', START_HELP)
  .action(run(async () => (await import('./start.ts')).start(process.env)))

program
  .command('issuer')
  .description('the issuer alone')
  .addHelpText('after', settingsHelp('issuer', 'ISSUER_URL=http://127.0.0.1:4000 FEED_TOKEN=$(openssl rand -hex 32)'))
  .action(run(async () => (await import('./serve.ts')).serveIssuer(process.env)))

program
  .command('sidecar')
  .description('one sidecar, in front of UPSTREAM')
  .addHelpText(
    'after',
    settingsHelp('sidecar', 'UPSTREAM=http://127.0.0.1:3000 ISSUER_URL=http://127.0.0.1:4000 FEED_TOKEN=…'),
  )
  .action(run(async () => (await import('./serve.ts')).serveSidecar(process.env)))

program
  .command('injector')
  .description('the admission webhook that adds the sidecar to Pods of Kubernetes')
  .addHelpText(
    'after',
    settingsHelp(
      'injector',
      'INJECTOR_TLS_CERT_FILE=tls.crt INJECTOR_TLS_KEY_FILE=tls.key INJECTOR_TEMPLATE_FILE=template.yaml',
    ),
  )
  .action(run(async () => (await import('./serve.ts')).serveInjector(process.env)))

program
  .command('demo')
  .description('a service that answers with the request and the identity headers it received (DEMO_HOST, DEMO_PORT)')
  .addHelpText('after', settingsHelp('demo', 'DEMO_PORT=3000'))
  .action(run(async () => (await import('./serve.ts')).serveDemo(process.env)))

program
  .command('settings')
  .option(
    '--check <role...>',
    'instead checks the environment as these do when they start: issuer, sidecar, injector, demo',
  )
  .description('prints every setting with its default and its meaning')
  .action(run(async (options: SettingsOptions) => (await import('./settings.ts')).settings(process.env, options)))

program
  .command('health')
  .argument(
    '[url]',
    'address of /readyz; by default the admin port of a sidecar or an injector, or the port of an issuer',
  )
  .description('asks a running instance whether it is ready; exit code 0 when it is (for HEALTHCHECK)')
  .action(run(async (url?: string) => (await import('./health.ts')).checkHealth(process.env, url)))

program
  .command('check')
  .argument('[file]', 'routes file; by default ROUTES_FILE')
  .option('--explain <method url...>', 'says how this request would be decided, step by step')
  .option('--token <token>', 'its token; - reads it from standard input, SALLYPORT_TOKEN is the other way')
  .option('--issuer <url>', 'the issuer whose keys and `iss` count; by default ISSUER_URL')
  .option('--jwks <file>', 'its key set, instead of asking it')
  .option('--json', 'prints JSON, for programs')
  .option('--schema', 'prints the JSON Schema of routes files')
  .description('checks a routes file; exit code 1 for problems; with --explain 0 let in, 2 refused, 3 undecided')
  .action(
    run(async (file: string | undefined, options: CheckOptions) =>
      (await import('./check.ts')).check(process.env, file, options),
    ),
  )

program
  .command('migrate')
  .description('brings tables and indexes up to date, as every issuer does at its start; any number may at once')
  .action(run(async () => (await import('./migrate.ts')).migrate(process.env)))

const clients = program.command('clients').description('services that get tokens of their own (client_credentials)')

clients
  .command('create')
  .argument('<name>', 'what people call it')
  .option('-p, --permission <permission...>', 'what its tokens may have in their scope')
  .description('creates one and prints its secret, which nobody sees again')
  .addHelpText('after', '\nExample:\n  sallyport clients create reports --permission orders:read orders:write')
  .action(
    run(async (name: string, { permission = [] }: { permission?: string[] }) =>
      (await import('./clients.ts')).createClient(process.env, name, permission),
    ),
  )

clients
  .command('list')
  .description('prints them, a line of JSON each')
  .action(run(async () => (await import('./clients.ts')).listClients(process.env)))

clients
  .command('rotate-secret')
  .argument('<client-id>')
  .option('--overlap <duration>', 'how long the secret before still holds; 0s ends it and the tokens it got', '24h')
  .description('gives it a new secret')
  .action(
    run(async (id: string, { overlap }: { overlap: string }) =>
      (await import('./clients.ts')).rotateClientSecret(process.env, id, overlap),
    ),
  )

clients
  .command('delete')
  .argument('<client-id>')
  .description('deletes it and ends its tokens')
  .action(run(async (id: string) => (await import('./clients.ts')).deleteClient(process.env, id)))

const users = program
  .command('users')
  .description('users: create, list, show, give roles, deactivate, log out, import, export')
const WHO = 'id, e-mail address or user name'

users
  .command('create')
  .requiredOption('--email <address>', 'e-mail address')
  .option('--username <name>', 'user name')
  .option('-r, --role <role...>', 'roles beside the one that everybody has')
  .option('--superuser', 'may do everything; the address is taken for verified')
  .option('--verified', 'take the address for verified')
  .option('--password-file <path>', 'where the password is; else from standard input, or asked for')
  .description('creates one; so the first superuser comes to be')
  .action(run(async (options: CreateOptions) => (await import('./users.ts')).createUser(process.env, options)))

users
  .command('list')
  .option('--email <prefix>', 'whose address begins with this')
  .option('--username <prefix>', 'whose user name begins with this')
  .option('--role <role>', 'who have this role')
  .option('--tier <tier>', 'who are in this tier')
  .option('--inactive', 'who are deactivated')
  .description('prints them, a line of JSON each')
  .action(run(async (options: ListOptions) => (await import('./users.ts')).listUsers(process.env, options)))

users
  .command('show')
  .argument('<user>', WHO)
  .description('prints one')
  .action(run(async (name: string) => (await import('./users.ts')).showUser(process.env, name)))

users
  .command('set-roles')
  .argument('<user>', WHO)
  .argument('<role...>', 'the roles from now on')
  .description('gives these roles and no others; a role that is taken away ends every session')
  .action(run(async (name: string, roles: string[]) => (await import('./users.ts')).setRoles(process.env, name, roles)))

users
  .command('deactivate')
  .argument('<user>', WHO)
  .description('ends every session and lets them log in no more')
  .action(run(async (name: string) => (await import('./users.ts')).deactivateUser(process.env, name)))

users
  .command('logout')
  .argument('<user>', WHO)
  .description('ends every session, at every service')
  .action(run(async (name: string) => (await import('./users.ts')).logoutUser(process.env, name)))

users
  .command('import')
  .argument('<file>', 'CSV with a header, a line of JSON each (email, password_hash, …), or a realm export of Keycloak')
  .option('--format <csv|jsonl|keycloak>', 'by default as the name of the file ends: .csv, .jsonl, .json')
  .option('--report <file>', 'where refused lines are told; by default FILE.refused.jsonl')
  .option('--max-refused <count>', 'stop after more refused lines than this', '100000')
  .option('--superusers', 'let lines make superusers')
  .option('--drop-second-factors', 'let users of Keycloak who have a second factor come with the password alone')
  .description('imports users; goes on where it was interrupted; exit code 2 when lines were refused')
  .action(
    run(async (file: string, options: ImportUsersOptions) =>
      (await import('./users-import.ts')).importUsersFrom(process.env, file, options),
    ),
  )

users
  .command('export')
  .argument('<file>', 'where to; readable by you alone')
  .option('--with-password-hashes', 'also what passwords can be guessed from')
  .option('--force', 'replace the file')
  .description('writes all users, a line of JSON each, as import reads them')
  .action(
    run(async (file: string, options: ExportUsersOptions) =>
      (await import('./users-import.ts')).exportUsersTo(process.env, file, options),
    ),
  )

const sessions = program.command('sessions').description('the sessions of everybody at once')

sessions
  .command('end')
  .requiredOption('--all', 'yes, of everybody')
  .description('logs everybody out, of every service: ends all sessions and revokes the keys that signed their tokens')
  .option('--all-keys', 'also the key that has not signed yet: the private keys were stolen')
  .action(
    run(async ({ allKeys = false }: { allKeys?: boolean }) =>
      (await import('./sessions.ts')).endAllSessions(process.env, allKeys),
    ),
  )

const keys = program.command('keys').description('signing keys: list, rotate, revoke; without restarting an issuer')

keys
  .command('list')
  .description('prints them, a line of JSON each')
  .action(run(async () => (await import('./keys.ts')).listKeys(process.env)))

keys
  .command('rotate')
  .option('--now', 'at once, without waiting until every verifier can know the key')
  .description('lets the next key take over, and prints when')
  .action(run(async ({ now = false }: { now?: boolean }) => (await import('./keys.ts')).rotateKeys(process.env, now)))

keys
  .command('revoke')
  .argument('<kid>', 'the id of a key')
  .description('declares it compromised: nothing it signed is believed any more, anywhere')
  .action(run(async (kid: string) => (await import('./keys.ts')).revokeKey(process.env, kid)))

addHelpCommand(program)
shortenErrors(program)
await program.parseAsync(markKeyIds(process.argv))

/** Ends with one clear line for each thing that is wrong and exit code 1, never with a stack trace. */
function run<A extends unknown[]>(action: (...args: A) => Promise<void>): (...args: A) => Promise<void> {
  return async (...args) => {
    try {
      await action(...args)
    } catch (error) {
      const lines = describeFailure(error, process.env.DATA_DIR || 'data')
      for (const line of lines) process.stderr.write(`sallyport: ${line}\n`)
      process.exit(1)
    }
  }
}
