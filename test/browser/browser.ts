import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrowserContext, chromium } from 'playwright-core'
import type { Test } from 'tap'
import { startRole } from '../helpers/deployment.ts'
import { freePort } from '../helpers/port.ts'
import { findChromium } from '../servers/chromium.ts'

// Nothing of it may reach the network: it is about two programs on this machine.
const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-domain-reliability',
  '--no-pings',
]

/** A headless Chromium with an empty profile of its own; it ends with the test. */
export async function openBrowser(t: Test): Promise<BrowserContext> {
  const profile = mkdtempSync(join(tmpdir(), 'sallyport-chromium-'))
  t.teardown(() => rmSync(profile, { recursive: true, force: true, maxRetries: 5 }))
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: await findChromium(),
    headless: true,
    chromiumSandbox: false,
    args: ARGS,
    handleSIGINT: false,
    handleSIGTERM: false,
    handleSIGHUP: false,
  })
  t.teardown(() => context.close())
  context.setDefaultTimeout(60_000)
  return context
}

/** A site with empty pages, under every name of this machine. @returns its port */
export async function serveSite(t: Test): Promise<number> {
  const answer = (_request: IncomingMessage, response: ServerResponse) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>a page</title>')
  const server = createServer(answer).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

/** An issuer in a process of its own, under the name `localhost`. @returns its address */
export async function startLocalIssuer(t: Test, env: Record<string, string> = {}): Promise<string> {
  const port = await freePort()
  const url = `http://localhost:${port}`
  await startRole(t, 'issuer', {
    ISSUER_PORT: String(port),
    ISSUER_URL: url,
    HASH_MEMORY_KIB: '7168',
    HASH_TIME: '5',
    RATE_LIMITS: 'off',
    ...env,
  })
  return url
}
