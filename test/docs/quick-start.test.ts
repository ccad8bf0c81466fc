import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { type Test, test } from 'tap'
import { call, login, register } from '../helpers/client.ts'
import { startRole } from '../helpers/deployment.ts'
import { eventually } from '../helpers/eventually.ts'
import { freePort } from '../helpers/port.ts'
import { type NodeProcess, startNode } from '../helpers/process.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { type Block, blocksOf, expectedOutput, readPage } from './page.ts'
import { openShell } from './shell.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const BLOCKS = blocksOf(readPage('quick-start.md'))

/** A folder that looks like a clone, without the data of whoever works in this one. */
function cloneIn(folder: string): string {
  const clone = join(folder, 'sallyport')
  mkdirSync(clone)
  for (const name of ['bin', 'issuer', 'sidecar', 'shared', 'node_modules', 'package.json', 'package-lock.json']) {
    symlinkSync(join(ROOT, name), join(clone, name))
  }
  return clone
}

const PORTS = { ISSUER_PORT: '4000', SIDECAR_PORT: '8080', SIDECAR_ADMIN_PORT: '8081', service: '3000' }

/** The page's ports in the words of the page, exchanged for free ones. */
async function freePorts() {
  const ports = await Promise.all(
    Object.entries(PORTS).map(async ([name, port]) => ({ name, port, free: `${await freePort()}` })),
  )
  const env = Object.fromEntries(ports.filter(({ name }) => name !== 'service').map(({ name, free }) => [name, free]))
  const exchange = (text: string) =>
    text.replace(/\b(?:4000|8080|8081|3000)\b/g, (found) => ports.find(({ port }) => port === found)!.free)
  return { env, exchange, service: ports.find(({ name }) => name === 'service')!.free }
}

/** What a block with the mark `server` starts, and how one knows that it is up. */
function serverOf(t: Test, { text }: Block, { cwd, env }: { cwd: string; env: Record<string, string> }): NodeProcess {
  const [, assignments = '', command = ''] = /^((?:[A-Z_]+=\S+ )*)(.*)\n$/.exec(text) ?? []
  const own = Object.fromEntries(
    assignments
      .split(' ')
      .filter(Boolean)
      .map((pair) => pair.split(/=(.*)/).slice(0, 2)),
  )
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: { start: string } }
  const [program, ...args] = (command === 'npm start' ? scripts.start : command).split(' ')
  t.equal(program, 'node', `${command} is a program of Node`)
  return startNode(t, join(cwd, args[0]!), { args: args.slice(1), cwd, env: { ...env, ...own } })
}

test('every command of docs/quick-start.md does what the page says', async (t) => {
  const cwd = cloneIn(temporaryFolder(t))
  const { env, exchange, service } = await freePorts()
  // As npx does, with this Node.
  const bin = join(temporaryFolder(t), 'npx')
  writeFileSync(bin, `#!/bin/sh\n[ "$1" = sallyport ] && shift && exec '${process.execPath}' bin/sallyport.ts "$@"\n`, {
    mode: 0o755,
  })
  const shell = openShell(t, { cwd, env: { PATH: `${join(bin, '..')}:${process.env.PATH}`, HOME: cwd } })
  const servers = new Map<string, NodeProcess>()
  let last = ''
  for (const block of BLOCKS) {
    const { language, info, file, line } = block
    const text = exchange(block.text)
    const name = `line ${line}: ${text.split('\n')[0]}`
    if (file !== undefined) {
      writeFileSync(join(cwd, file), text)
    } else if (language === 'sh' && text === 'npm ci\n') {
      t.ok(existsSync(join(ROOT, 'package-lock.json')), name)
    } else if (language === 'sh' && info === 'server') {
      const isStart = text.endsWith('npm start\n')
      const kind = isStart ? 'npm start' : 'service'
      await servers.get(kind)?.kill('SIGINT')
      const server = serverOf(t, { ...block, text }, { cwd, env: isStart ? env : {} })
      servers.set(kind, server)
      if (isStart) await server.waitForLine(/Ctrl-C ends everything/, 90_000)
      else await eventually(() => call(`http://127.0.0.1:${service}/`), { within: 60_000 })
      last = server.stdout()
    } else if (language === 'sh') {
      const { stdout, stderr, code } = await shell.run(text)
      t.equal(code, 0, `${name}${stderr}`)
      last = stdout
    } else {
      t.match(last.trim(), expectedOutput(text), `${name}: what it printed`)
    }
  }
})

interface Program {
  language: string
  command: string
}

/** Runs a service of the page. @returns what it answers to a request with these headers */
async function answerOf(t: Test, { language, command }: Program, headers: Record<string, string>): Promise<unknown> {
  const { exchange, service } = await freePorts()
  const block = BLOCKS.find((one) => one.language === language && one.file?.startsWith('service.'))!
  const file = join(temporaryFolder(t), block.file!)
  writeFileSync(file, exchange(block.text))
  // A program that is no JavaScript is run by way of this Node, so that it ends with the test.
  const run = `const { spawn } = require('node:child_process')
const child = spawn('${command}', ['${file}'], { stdio: 'inherit' })
process.on('SIGTERM', () => child.kill())`
  const launcher = join(temporaryFolder(t), 'run.cjs')
  writeFileSync(launcher, run)
  const started = startNode(t, command === 'node' ? file : launcher)
  const answer = await eventually(() => call(`http://127.0.0.1:${service}/orders?page=2`, { headers }), {
    within: 60_000,
  })
  await started.kill('SIGTERM').catch(() => undefined)
  return answer.body
}

test('the services answer with who is calling', async (t) => {
  const user = { 'x-user-id': '7', 'x-user-email': 'ada@example.com', 'x-user-roles': 'staff,admin' }
  const programs: Program[] = [{ language: 'js', command: 'node' }]
  try {
    execFileSync('python3', ['--version'], { stdio: 'ignore' })
    programs.push({ language: 'python', command: 'python3' })
  } catch {
    t.comment('there is no python3 here: the service in Python is not run')
  }
  for (const program of programs) {
    t.same(
      await answerOf(t, program, user),
      { path: '/orders?page=2', id: '7', email: 'ada@example.com', roles: ['staff', 'admin'] },
      program.language,
    )
    t.same(
      await answerOf(t, program, {}),
      { path: '/orders?page=2', id: null, email: null, roles: [] },
      program.language,
    )
  }
})

test('every service listens on loopback only', async (t) => {
  const services = BLOCKS.filter(({ file }) => file?.startsWith('service.'))
  t.equal(services.length, 3)
  for (const { file, text } of services) t.match(text, /127\.0\.0\.1/, String(file))
})

interface ClientModule {
  createClient(issuer: string, tokens: object): (url: string, options?: RequestInit) => Promise<Response>
}

async function loadClient(t: Test): Promise<ClientModule> {
  const file = join(temporaryFolder(t), 'client.mjs')
  writeFileSync(file, BLOCKS.find((block) => block.file === 'client.mjs')!.text)
  return import(pathToFileURL(file).href)
}

/** The client of the page, in front of an issuer and a service that are asked in turn what to answer. */
async function clientOf(t: Test, access_token: string, answers: { refresh(): number; service(token: string): number }) {
  const { createClient } = await loadClient(t)
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      const token = request.headers.authorization?.replace('Bearer ', '') ?? ''
      const status = request.url === '/auth/refresh' ? answers.refresh() : answers.service(token)
      response.writeHead(status, { 'content-type': 'application/json', 'retry-after': '1' })
      response.end(JSON.stringify({ access_token: 'fresh', refresh_token: 'next' }))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, send: createClient(url, { access_token, refresh_token: 'first' }) }
}

test('the client refreshes once for many that meet a 401, and waits where nobody can say', async (t) => {
  const refreshed: number[] = []
  const { url, send } = await clientOf(t, 'old', {
    refresh: () => {
      refreshed.push(refreshed.length)
      return refreshed.length === 1 ? 503 : 200
    },
    service: (token) => (token === 'fresh' ? 200 : 401),
  })
  const answers = await Promise.all(Array.from({ length: 10 }, () => send(`${url}/orders`)))
  t.same(
    answers.map(({ status }) => status),
    Array(10).fill(200),
  )
  t.equal(refreshed.length, 2, 'the 503, and the one that worked')
})

test('the client says when the session has ended, and passes on what is no matter of tokens', async (t) => {
  const { url, send } = await clientOf(t, 'old', {
    refresh: () => 401,
    service: (token) => (token === 'old' ? 401 : 200),
  })
  await t.rejects(send(`${url}/orders`), /the session has ended: log in again/)
  const other = await clientOf(t, 'fresh', {
    refresh: () => t.fail('nothing to refresh for') as never,
    service: () => 503,
  })
  t.equal((await other.send(`${other.url}/orders`)).status, 503)
})

test('the client goes on with a real issuer', async (t) => {
  const issuer = await startRole(t, 'issuer', { ISSUER_PORT: '0', DATA_DIR: join(temporaryFolder(t), 'data') })
  const tokens = await login(issuer.url, await register(issuer.url))
  const { createClient } = await loadClient(t)
  const send = createClient(issuer.url, { ...tokens, access_token: 'of no worth any more' })
  const answer = await send(`${issuer.url}/users/me`)
  t.equal(answer.status, 200)
})
