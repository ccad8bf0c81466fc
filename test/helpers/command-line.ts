import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { login, PASSWORD } from './client.ts'
import { startNode } from './process.ts'
import { temporaryFolder } from './temporary-folder.ts'
import { uniqueName } from './unique-name.ts'

const PROGRAM = fileURLToPath(new URL('../../bin/sallyport.ts', import.meta.url))

/** Runs a command to its end. @returns its exit code, the lines of JSON on standard output, and standard error */
export async function runCommand(t: Test, env: Record<string, string>, ...args: string[]) {
  const child = startNode(t, PROGRAM, { args, env })
  const { code } = await child.waitForExit(90_000)
  const lines = child.stdout().split('\n').filter(Boolean)
  return { code, lines: lines.map((line) => JSON.parse(line)), stderr: child.stderr() }
}

/** Creates a superuser on the command line. @returns an access token */
export async function superuserToken(t: Test, env: Record<string, string>, issuerUrl: string): Promise<string> {
  const passwordFile = join(temporaryFolder(t), 'password')
  writeFileSync(passwordFile, PASSWORD)
  const email = `${uniqueName('admin')}@example.com`
  const created = await runCommand(
    t,
    env,
    'users',
    'create',
    '--superuser',
    '--email',
    email,
    '--password-file',
    passwordFile,
  )
  if (created.code !== 0) throw new Error(created.stderr)
  return (await login(issuerUrl, { email, password: PASSWORD })).access_token
}

/** The id of the key that signed a token. */
export function kidOf(token: string): string {
  return JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid
}
