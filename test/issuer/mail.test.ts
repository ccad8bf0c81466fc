import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { createLogMailer } from '../../issuer/adapters/log-mailer.ts'
import { startIssuer } from '../../issuer/main.ts'
import { createLog } from '../../shared/log.ts'
import { createMetrics } from '../../shared/metrics.ts'
import { call, PASSWORD } from '../helpers/client.ts'
import { eventually } from '../helpers/eventually.ts'
import { startSmtp } from '../helpers/smtp.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { createAuthority } from '../servers/certificates.ts'
import { onPath } from '../servers/command.ts'

const EMAIL = 'sally@example.com'
const HASHING = { HASH_MEMORY_KIB: '7168', HASH_TIME: '5' }

async function start(t: Test, env: Record<string, string>) {
  const lines: string[] = []
  const log = createLog('issuer', 'debug', { write: (line) => void lines.push(line) })
  const DATA_DIR = env.DATA_DIR ?? join(temporaryFolder(t), 'data')
  const issuer = await startIssuer({ ISSUER_PORT: '0', DATA_DIR, ...HASHING, ...env }, { log })
  t.teardown(issuer.close)
  const post = (path: string, json: object) => call(`${issuer.url}${path}`, { json })
  return { ...issuer, lines, post }
}

const tokenIn = (text: string) => /[#&]token=([\w-]{43})/.exec(text)?.[1]

test('over SMTP with TLS, and the settings in files: verification, then a new password', {
  skip: onPath('openssl') === undefined && 'there is no openssl',
}, async (t) => {
  const folder = temporaryFolder(t)
  const authority = await createAuthority(folder)
  const { cert, key } = await authority.issue('mail')
  const server = await startSmtp(t, { cert, key, authOptional: false, allowInsecureAuth: false })
  const secret = join(folder, 'smtp-url')
  writeFileSync(secret, `smtp://mailer:a%20secret@localhost:${server.port}\n`)
  const issuer = await start(t, {
    DATA_DIR: join(folder, 'data'),
    SMTP_URL_FILE: secret,
    SMTP_CA_FILE: authority.caFile,
    SMTP_STARTTLS: 'on',
    MAIL_FROM: 'Example <no-reply@example.com>',
    MAIL_LINK_URL: 'https://app.example/account',
    REQUIRE_VERIFIED_EMAIL: 'on',
  })
  t.equal((await issuer.post('/auth/register', { email: EMAIL, password: PASSWORD })).status, 202)
  t.equal((await issuer.post('/auth/login', { email: EMAIL, password: PASSWORD })).status, 401)
  const verification = await eventually(() => server.mails.shift())
  t.match(verification, { secure: true, user: 'mailer', to: [EMAIL] })
  t.equal((await issuer.post('/auth/verify-email', { token: tokenIn(verification.text) })).status, 200)
  t.equal((await issuer.post('/auth/login', { email: EMAIL, password: PASSWORD })).status, 200)

  t.equal((await issuer.post('/auth/forgot-password', { email: EMAIL })).status, 202)
  const reset = await eventually(() => server.mails.shift())
  const json = { token: tokenIn(reset.text), password: 'another long pass phrase' }
  t.match(await issuer.post('/auth/reset-password', json), { status: 200, body: { invalidated_tokens: 1 } })
  t.equal((await issuer.post('/auth/login', { email: EMAIL, password: json.password })).status, 200)
  t.match((await eventually(() => server.mails.shift())).source, /Subject: Your password was changed/)

  const log = issuer.lines.join('')
  for (const text of [EMAIL, json.token!, json.password, 'a secret', 'a%20secret']) t.notOk(log.includes(text), text)
})

test('without SMTP_URL on a developer’s machine the log has the link', async (t) => {
  const issuer = await start(t, { REQUIRE_VERIFIED_EMAIL: 'on', MAIL_LINK_URL: 'http://localhost:3000/account' })
  t.equal((await issuer.post('/auth/register', { email: EMAIL, password: PASSWORD })).status, 202)
  const line = issuer.lines.find((text) => text.includes('SMTP_URL'))
  t.match(JSON.parse(line!), { kind: 'verify_email', link: /^http:\/\/localhost:3000\/account#action=verify-email&/ })
  t.equal((await issuer.post('/auth/verify-email', { token: tokenIn(line!) })).status, 200)
  t.equal((await issuer.post('/auth/login', { email: EMAIL, password: PASSWORD })).status, 200)
})

test('without SMTP_URL anywhere else no log has a token', async (t) => {
  const lines: string[] = []
  const log = createLog('issuer', 'debug', { write: (line) => void lines.push(line) })
  const metrics = createMetrics()
  createLogMailer({ page: undefined, showLinks: false, log, metrics }).send({
    kind: 'reset_password',
    to: EMAIL,
    token: 'secret-token',
  })
  t.match(lines[0], /"kind":"reset_password"/)
  t.notMatch(lines[0], /secret-token|sally/)
  t.match(await metrics.metrics(), 'mails_total{kind="reset_password",outcome="not_sent"} 1')

  const public_ = await start(t, { ISSUER_URL: 'https://issuer.example' })
  await public_.post('/auth/register', { email: EMAIL, password: PASSWORD })
  await public_.post('/auth/forgot-password', { email: EMAIL })
  t.ok(public_.lines.some((line) => line.includes('a mail would be sent')))
  t.notMatch(public_.lines.join(''), /"link"/)
})

test('a mail server that is away delays no answer', async (t) => {
  const issuer = await start(t, { SMTP_URL: 'smtp://127.0.0.1:1', MAIL_FROM: 'no-reply@example.com' })
  const begin = performance.now()
  t.equal((await issuer.post('/auth/register', { email: EMAIL, password: PASSWORD })).status, 201)
  t.equal((await issuer.post('/auth/forgot-password', { email: EMAIL })).status, 202)
  t.ok(performance.now() - begin < 8000)
  await eventually(() => issuer.lines.some((line) => line.includes('a mail waits')))
})
