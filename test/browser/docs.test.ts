import type { Page } from 'playwright-core'
import { test } from 'tap'
import { register } from '../helpers/client.ts'
import { missingChromium } from '../servers/chromium.ts'
import { openBrowser, serveSite, startLocalIssuer } from './browser.ts'

/** What the page complains of, be it the policy or its own code. */
function complaintsOf(page: Page): string[] {
  const complaints: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error' || /Content.Security.Policy/i.test(message.text())) complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('requestfailed', (request) => complaints.push(`${request.url()}: ${request.failure()?.errorText}`))
  return complaints
}

test('Swagger UI logs in and calls /users/me', { skip: await missingChromium(), timeout: 300_000 }, async (t) => {
  const issuer = await startLocalIssuer(t)
  const { email, password } = await register(issuer)
  const browser = await openBrowser(t)
  const page = await browser.newPage()
  const complaints = complaintsOf(page)
  const hosts = new Set<string>()
  page.on('request', (request) => hosts.add(new URL(request.url()).host))

  await page.goto(`${issuer}/docs`)
  await page.getByRole('heading', { name: /Sallyport issuer/ }).waitFor()
  t.same(complaints, [], 'it loads without a complaint')

  await page.getByRole('button', { name: 'Authorize' }).first().click()
  const dialog = page.locator('.modal-ux')
  const form = dialog.locator('.auth-container').filter({ hasText: 'password' }).filter({ hasText: 'Token URL' })
  await form.locator('input#oauth_username').fill(email)
  await form.locator('input#oauth_password').fill(password)
  await form
    .getByRole('button', { name: 'Authorize' })
    .or(form.getByRole('button', { name: 'Apply' }))
    .click()
  await form.getByText('Authorized').waitFor()
  await dialog.getByRole('button', { name: 'Close' }).first().click()

  const operation = page.locator('.opblock').filter({ has: page.locator('[data-path="/users/me"]') })
  const me = operation.filter({ has: page.locator('.opblock-summary-method', { hasText: 'GET' }) })
  await me.locator('.opblock-summary-control').first().click()
  await me.getByRole('button', { name: 'Try it out' }).click()
  const [answer] = await Promise.all([
    page.waitForResponse((response) => response.url() === `${issuer}/users/me`),
    me.getByRole('button', { name: 'Execute' }).click(),
  ])
  t.equal(answer.status(), 200)
  await me.locator('.live-responses-table').getByText(email).first().waitFor()
  t.same(complaints, [])
  t.same([...hosts], [new URL(issuer).host], 'it talks to the issuer alone')
})

test('no other page can show it in a frame', { skip: await missingChromium() }, async (t) => {
  const issuer = await startLocalIssuer(t)
  const site = await serveSite(t)
  const browser = await openBrowser(t)
  const page = await browser.newPage()
  await page.goto(`http://localhost:${site}/`)
  const refusal = page.waitForEvent('console', (message) => /frame-ancestors/.test(message.text()))
  await page.evaluate(`document.body.innerHTML = '<iframe src="${issuer}/docs"></iframe>'`)
  t.match((await refusal).text(), issuer)
})
