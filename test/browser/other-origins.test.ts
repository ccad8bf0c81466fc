import type { Page } from 'playwright-core'
import { test } from 'tap'
import { missingChromium } from '../servers/chromium.ts'
import { openBrowser, serveSite, startLocalIssuer } from './browser.ts'

// What the scripts below find in a page; the types of the whole browser would be there for all other files too.
// biome-ignore lint/suspicious/noExplicitAny: see above
declare const document: any
declare const addEventListener: (name: 'message', heard: (event: { data: string }) => void, options: object) => void

const PASSWORD = 'a long enough pass phrase'
const EMAIL = 'ada@example.com'

interface Answer {
  status: number
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked into freely, as a page does
  body: any
}

/** Calls the issuer as a script of the page does. @returns the error's name when the browser keeps the answer from it */
async function ask(
  page: Page,
  method: string,
  url: string,
  json?: object,
  more: object = {},
): Promise<Answer | string> {
  return page.evaluate(
    async ([method, url, json, more]) => {
      try {
        const headers = json && { 'content-type': 'application/json' }
        const body = json && JSON.stringify(json)
        const response = await fetch(url, { method, credentials: 'include', headers, body, ...more } as object)
        return { status: response.status, body: await response.json().catch(() => null) }
      } catch (error) {
        return (error as Error).name
      }
    },
    [method, url, json, more] as const,
  )
}

const statusOf = (answer: Answer | string) => (typeof answer === 'string' ? answer : answer.status)
const sidOf = (answer: Answer | string): string => {
  const { access_token: token } = (answer as Answer).body
  return JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString()).sid
}

test('a page of another, allowed origin', { skip: await missingChromium(), timeout: 300_000 }, async (t) => {
  const [app, stranger] = [await serveSite(t), await serveSite(t)]
  const issuer = await startLocalIssuer(t, { CORS_ORIGINS: `http://localhost:${app}` })
  const browser = await openBrowser(t)
  const open = async (url: string) => {
    const page = await browser.newPage()
    await page.goto(url)
    return page
  }
  const tabs = await Promise.all([open(`http://localhost:${app}/`), open(`http://localhost:${app}/`)])
  const [first, second] = tabs
  const refresh = (page: Page) => ask(page, 'POST', `${issuer}/auth/refresh`)
  const tokenCookies = async () => (await browser.cookies(issuer)).filter(({ name }) => name.includes('refresh_token'))
  let sid = ''

  await t.test('registers and logs in with credentials; no script sees the cookie', async (t) => {
    const credentials = { email: EMAIL, password: PASSWORD }
    t.equal(statusOf(await ask(first, 'POST', `${issuer}/auth/register`, credentials)), 201)
    const login = await ask(first, 'POST', `${issuer}/auth/login`, credentials)
    t.equal(statusOf(login), 200)
    sid = sidOf(login)
    t.notOk('refresh_token' in (login as Answer).body)
    t.match(await tokenCookies(), [{ httpOnly: true, sameSite: 'Strict', path: '/' }])
    // Cookies know no ports: this page is of the cookie's own site and host.
    for (const page of tabs) t.equal(await page.evaluate(() => document.cookie), '')
  })

  await t.test('reads the fields of the answer that it is meant to', async (t) => {
    const fields = await first.evaluate(async (url) => {
      const response = await fetch(`${url}/users/me`, { credentials: 'include' })
      return { status: response.status, id: response.headers.get('x-request-id') }
    }, issuer)
    t.match(fields, { status: 401, id: /^[0-9a-f-]{36}$/ })
  })

  await t.test('refreshes by cookie from two tabs at once: nobody is logged out', async (t) => {
    for (let round = 0; round < 20; round++) {
      const answers = await Promise.all(tabs.map(refresh))
      t.same([...new Set(answers.map(statusOf))], [200], `round ${round}`)
      t.same([...new Set(answers.map(sidOf))], [sid])
    }
    const { access_token: token } = ((await refresh(second)) as Answer).body
    const me = await ask(second, 'GET', `${issuer}/users/me`, undefined, {
      headers: { authorization: `Bearer ${token}` },
    })
    t.match(me, { status: 200, body: { email: EMAIL } })
  })

  for (const host of ['localhost', '127.0.0.1']) {
    const site = `http://${host}:${stranger}/`
    await t.test(`a page of an origin not allowed, ${host === 'localhost' ? 'same site' : 'cross site'}`, async (t) => {
      const page = await open(site)
      const mallory = { email: 'mallory@example.com', password: PASSWORD }
      const rows: [name: string, method: string, path: string, json?: object, more?: object][] = [
        ['refresh', 'POST', '/auth/refresh'],
        ['refresh by alias', 'POST', '/access_token'],
        ['logout', 'POST', '/auth/logout', { all: true }],
        ['logout by alias', 'DELETE', '/logout'],
        ['login', 'POST', '/auth/login', { email: EMAIL, password: PASSWORD }],
        ['register', 'POST', '/auth/register', mallory],
        ['profile', 'GET', '/users/me'],
        ['profile with a token', 'GET', '/users/me', undefined, { headers: { authorization: 'Bearer x' } }],
        ['public keys', 'GET', '/.well-known/jwks.json'],
      ]
      for (const [name, method, path, json, more] of rows) {
        t.equal(await ask(page, method, `${issuer}${path}`, json, more), 'TypeError', `${name}: kept from it`)
      }
      // Without asking first, as for a simple request of old; the answer's Cross-Origin-Resource-Policy keeps it away too.
      const blindly = { mode: 'no-cors', headers: { 'content-type': 'text/plain' } }
      t.equal(await ask(page, 'POST', `${issuer}/auth/logout`, { all: true }, blindly), 'TypeError')
      t.equal(await ask(page, 'POST', `${issuer}/auth/register`, mallory, blindly), 'TypeError')

      for (const [path, type, name, value] of [
        ['/auth/logout', 'text/plain', '{"all":true,"x":"', '"}'],
        ['/auth/refresh', 'application/x-www-form-urlencoded', 'grant_type', 'refresh_token'],
        ['/auth/token', 'application/x-www-form-urlencoded', 'grant_type', 'refresh_token'],
      ] as const) {
        await page.goto(site)
        await page.evaluate(
          ([action, enctype, name, value]) => {
            const form = Object.assign(document.createElement('form'), { method: 'POST', action, enctype })
            form.append(Object.assign(document.createElement('input'), { name, value }))
            document.body.append(form)
            form.submit()
          },
          [`${issuer}${path}`, type, name, value] as const,
        )
        await page.waitForURL(`${issuer}${path}`)
        t.match(
          await page.textContent('body'),
          /"code":"origin_forbidden"|This origin is not allowed/,
          `a form to ${path}`,
        )
      }

      await page.goto(site)
      const answer = await page.evaluate(async (url) => {
        const frame = document.createElement('iframe')
        frame.setAttribute('sandbox', 'allow-scripts')
        const script = `fetch(${JSON.stringify(url)}, { method: 'POST', credentials: 'include' })
          .then((r) => r.status, (e) => e.name).then((m) => parent.postMessage(m, '*'))`
        frame.srcdoc = `<script>${script}</script>`
        const heard = new Promise((resolve) => addEventListener('message', ({ data }) => resolve(data), { once: true }))
        document.body.append(frame)
        return heard
      }, `${issuer}/auth/logout`)
      t.equal(answer, 'TypeError', 'a sandboxed frame, whose origin is null')

      const still = await refresh(first)
      t.equal(statusOf(still), 200, 'the session is as it was')
      t.equal(sidOf(still), sid)
      t.equal(statusOf(await ask(first, 'POST', `${issuer}/auth/login`, mallory)), 401, 'nobody was registered')
      await page.close()
    })
  }

  await t.test('logs out: both tabs are, and the cookie is gone', async (t) => {
    t.match(await ask(first, 'POST', `${issuer}/auth/logout`), { status: 200, body: { invalidated_tokens: 1 } })
    t.same(await tokenCookies(), [])
    for (const page of tabs) t.equal(statusOf(await refresh(page)), 401)
  })
})

test('over a secure connection the cookie is bound to the host', { skip: await missingChromium() }, async (t) => {
  const app = await serveSite(t)
  // Browsers count localhost as secure, so that the cookie can be seen without a certificate.
  const issuer = await startLocalIssuer(t, { CORS_ORIGINS: `http://localhost:${app}`, COOKIE_SECURE: 'on' })
  const browser = await openBrowser(t)
  const page = await browser.newPage()
  await page.goto(`http://localhost:${app}/`)
  await ask(page, 'POST', `${issuer}/auth/register`, { email: EMAIL, password: PASSWORD })
  t.equal(statusOf(await ask(page, 'POST', `${issuer}/auth/login`, { email: EMAIL, password: PASSWORD })), 200)
  t.match(await browser.cookies(), [
    { name: '__Host-refresh_token', secure: true, httpOnly: true, domain: 'localhost' },
  ])
  t.equal(statusOf(await ask(page, 'POST', `${issuer}/auth/refresh`)), 200)
})
