import type { SMTPServerOptions } from 'smtp-server'
import { type Test, test } from 'tap'
import { createMailer, type MailerOptions, type SmtpAddress } from '../../../issuer/adapters/mailer.ts'
import { createLifecycle } from '../../../shared/lifecycle.ts'
import { createLog } from '../../../shared/log.ts'
import { createMetrics } from '../../../shared/metrics.ts'
import { eventually } from '../../helpers/eventually.ts'
import { freePort } from '../../helpers/port.ts'
import { startSmtp } from '../../helpers/smtp.ts'
import { createAuthority } from '../../servers/certificates.ts'
import { onPath } from '../../servers/command.ts'

const TOKEN = 'mnIHb2cyOzYV0tSVtGTKQ4oqHFMVKJ6kFSq7SYLM1Zk'
const MAIL = { kind: 'reset_password', to: 'sally@example.com', token: TOKEN } as const
const withoutOpenssl = onPath('openssl') === undefined && 'there is no openssl'

function mailer(t: Test, smtp: Partial<SmtpAddress>, more: Partial<MailerOptions> = {}) {
  const lines: string[] = []
  const log = createLog('issuer', 'debug', { write: (line) => void lines.push(line) })
  const metrics = createMetrics()
  const lifecycle = createLifecycle(log)
  t.teardown(() => lifecycle.close())
  const address: SmtpAddress = {
    url: '',
    from: 'Example <no-reply@example.com>',
    startTls: false,
    ca: undefined,
    ...smtp,
  }
  const page = 'https://app.example/account'
  const { send } = createMailer({ smtp: address, page, retryMs: 5, log, metrics, lifecycle, ...more })
  return { send, lines, lifecycle, count: async (text: string) => (await metrics.metrics()).includes(text) }
}

test('a mail goes to its address alone, as plain text with the link', async (t) => {
  const server = await startSmtp(t)
  const { send, lines, count } = mailer(t, { url: `smtp://127.0.0.1:${server.port}` })
  send(MAIL)
  await eventually(() => server.mails.length === 1)
  const [mail] = server.mails
  t.match(mail, { from: 'no-reply@example.com', to: ['sally@example.com'], secure: false, user: undefined })
  t.match(mail?.source, /^From: Example <no-reply@example.com>\r\n/m)
  t.match(mail?.source, /^To: sally@example.com\r\n/m)
  t.match(mail?.source, /^Auto-Submitted: auto-generated\r\n/m)
  t.match(mail?.source, /^Content-Type: text\/plain/m)
  t.ok(mail?.text.includes(`\r\nhttps://app.example/account#action=reset-password&token=${TOKEN}\r\n`))
  await eventually(() => count('mails_total{kind="reset_password",outcome="sent"} 1'))
  t.notMatch(lines.join(''), /sally|mnIHb/)
})

test('each kind of mail says what it is about, and has a link only where there is something to open', async (t) => {
  const server = await startSmtp(t)
  const { send } = mailer(t, { url: `smtp://127.0.0.1:${server.port}` })
  const rows = [
    ['verify_email', 'Verify your e-mail address', '#action=verify-email&token='],
    ['reset_password', 'Set a new password', '#action=reset-password&token='],
    ['already_registered', 'You already have an account', '#action=reset-password&token='],
  ] as const
  for (const [kind, subject, link] of rows) {
    send({ kind, to: 'sally@example.com', token: TOKEN })
    const mail = await eventually(() => server.mails.pop())
    t.ok(mail.source.includes(`Subject: ${subject}\r\n`), subject)
    t.ok(mail.text.includes(link), link)
  }
  for (const kind of ['password_changed', 'email_changed'] as const) {
    send({ kind, to: 'sally@example.com' })
    const mail = await eventually(() => server.mails.pop())
    t.match(mail.source, /^Subject: Your (password|e-mail address) was changed\r\n/m)
    t.notMatch(mail.text, /token|https?:/)
  }
})

test('without a page for links the mail has the token alone', async (t) => {
  const server = await startSmtp(t)
  const { send } = mailer(t, { url: `smtp://127.0.0.1:${server.port}` }, { page: undefined })
  send(MAIL)
  const mail = await eventually(() => server.mails.pop())
  t.ok(mail.text.includes(`\r\n\r\n${TOKEN}\r\n\r\n`))
})

test('addresses with letters of other alphabets, or characters that mean something to a mailer', async (t) => {
  const server = await startSmtp(t)
  const { send } = mailer(t, { url: `smtp://127.0.0.1:${server.port}` })
  for (const [to, received] of [
    ["o'brien+tag=x{1}@example.com", "o'brien+tag=x{1}@example.com"],
    ['sally@exämple.com', /^sally@(exämple|xn--exmple-cua).com$/],
    ['sälly@example.com', 'sälly@example.com'],
  ] as const) {
    send({ ...MAIL, to })
    const mail = await eventually(() => server.mails.pop())
    t.equal(mail.to.length, 1)
    t.match(mail.to[0], received)
  }
})

test('TLS from the start, STARTTLS, a password, and an authority of one’s own', { skip: withoutOpenssl }, async (t) => {
  const authority = await createAuthority(t.testdir())
  const { cert, key } = await authority.issue('mail')
  const certificate: SMTPServerOptions = { cert, key, authOptional: false, allowInsecureAuth: false }
  const onAuth: SMTPServerOptions['onAuth'] = ({ username, password }, _session, done) =>
    password === 'se:cr@t' ? done(null, { user: username }) : done(new Error('no'))
  const implicit = await startSmtp(t, { ...certificate, secure: true, onAuth })
  const starttls = await startSmtp(t, { ...certificate, onAuth })
  const credentials = `sally:${encodeURIComponent('se:cr@t')}`

  for (const [name, server, scheme] of [
    ['smtps', implicit, 'smtps'],
    ['STARTTLS', starttls, 'smtp'],
  ] as const) {
    const url = `${scheme}://${credentials}@localhost:${server.port}`
    mailer(t, { url, startTls: true, ca: authority.ca }).send(MAIL)
    await eventually(() => server.mails.length === 1)
    t.match(server.mails[0], { secure: true, user: 'sally', to: ['sally@example.com'] }, name)

    const untrusting = mailer(t, { url, startTls: true })
    untrusting.send(MAIL)
    await eventually(() => untrusting.count('outcome="failed"} 1'))
    t.match(untrusting.lines.at(-1), /"reason":"(ESOCKET|ETLS)/, `${name}: an authority that nobody named`)

    const wrong = mailer(t, { url: url.replace('se%3Acr%40t', 'wrong'), startTls: true, ca: authority.ca })
    wrong.send(MAIL)
    await eventually(() => wrong.count('outcome="failed"} 1'))
    t.match(wrong.lines.at(-1), /"attempt":1,"reason":"EAUTH 535/, `${name}: a wrong password is not tried again`)
    t.notMatch(wrong.lines.join(''), /se:cr@t|wrong|sally/)
    t.equal(server.mails.length, 1)
  }

  const plain = await startSmtp(t)
  const strict = mailer(t, { url: `smtp://localhost:${plain.port}`, startTls: true })
  strict.send(MAIL)
  await eventually(() => strict.count('outcome="failed"} 1'))
  t.equal(plain.mails.length, 0, 'no mail without TLS where TLS is demanded')
})

test('a server that is away or says "later" gets the mail later; one that says "never" does not', async (t) => {
  const port = await freePort()
  const away = mailer(t, { url: `smtp://127.0.0.1:${port}` }, { retryMs: 100 })
  away.send(MAIL)
  await eventually(() => away.lines.some((line) => line.includes('a mail waits')))
  const server = await startSmtp(t, {}, port)
  await eventually(() => server.mails.length === 1)

  let attempts = 0
  const busy = await startSmtp(t, {
    onRcptTo(_address, _session, done) {
      attempts++
      done(attempts < 3 ? Object.assign(new Error('sally@example.com: later'), { responseCode: 451 }) : undefined)
    },
  })
  const patient = mailer(t, { url: `smtp://127.0.0.1:${busy.port}` })
  patient.send(MAIL)
  await eventually(() => busy.mails.length === 1)
  t.equal(attempts, 3)
  t.notMatch(patient.lines.join(''), 'sally', 'the server’s words repeat the address; the log does not')

  const never = await startSmtp(t, {
    onRcptTo: (_address, _session, done) => done(Object.assign(new Error('no such user'), { responseCode: 550 })),
  })
  const refused = mailer(t, { url: `smtp://127.0.0.1:${never.port}` })
  refused.send(MAIL)
  await eventually(() => refused.count('mails_total{kind="reset_password",outcome="failed"} 1'))
  t.equal(refused.lines.length, 1, 'one attempt')
})

test('a mail that waits keeps no other waiting', async (t) => {
  const server = await startSmtp(t, {
    onRcptTo: ({ address }, _session, done) =>
      done(address.startsWith('busy') ? Object.assign(new Error('later'), { responseCode: 451 }) : undefined),
  })
  const { send, lines } = mailer(t, { url: `smtp://127.0.0.1:${server.port}` }, { retryMs: 60_000 })
  for (let n = 0; n < 8; n++) send({ ...MAIL, to: `busy${n}@example.com` })
  await eventually(() => lines.length === 8)
  send(MAIL)
  await eventually(() => server.mails.length === 1)
})

test('sending never waits; the queue is bounded, and what does not fit is counted', async (t) => {
  const { send, lines, count } = mailer(t, { url: `smtp://127.0.0.1:${await freePort()}` }, { retryMs: 60_000 })
  const begin = performance.now()
  for (let n = 0; n < 1003; n++) send(MAIL)
  t.ok(performance.now() - begin < 5000)
  t.ok(await count('mails_waiting 1000'))
  t.ok(await count('mails_total{kind="reset_password",outcome="dropped"} 3'))
  t.equal(lines.filter((line) => line.includes('dropped')).length, 3)
})

test('at the end of the process what waits is sent at once, within a bound', async (t) => {
  const server = await startSmtp(t)
  const good = mailer(t, { url: `smtp://127.0.0.1:${server.port}` })
  for (let n = 0; n < 10; n++) good.send(MAIL)
  await good.lifecycle.close()
  t.equal(server.mails.length, 10)

  const away = mailer(t, { url: `smtp://127.0.0.1:${await freePort()}` }, { retryMs: 60_000 })
  away.send(MAIL)
  const begin = performance.now()
  await away.lifecycle.close()
  t.ok(performance.now() - begin < 5000)
})
