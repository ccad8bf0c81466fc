import { once } from 'node:events'
import { copyFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { type Test, test } from 'tap'
import { startIssuer } from '../../issuer/main.ts'
import { createLifecycle } from '../../shared/lifecycle.ts'
import { createLog } from '../../shared/log.ts'
import { createMetrics } from '../../shared/metrics.ts'
import { openTlsCertificate } from '../../shared/tls-certificate.ts'
import { eventually } from '../helpers/eventually.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { type Certificate, createAuthority } from '../servers/certificates.ts'
import { onPath } from '../servers/command.ts'

const skip = onPath('openssl') === undefined && 'there is no openssl'

/** The serial number of the certificate that a new connection gets. */
function serialOf(port: number, ca: string, maxVersion: 'TLSv1.3' | 'TLSv1.1' = 'TLSv1.3'): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { port, host: '127.0.0.1', servername: 'localhost', ca, minVersion: 'TLSv1', maxVersion } as const
    const socket = connect(options, () => {
      resolve(socket.getPeerCertificate().serialNumber)
      socket.destroy()
    })
    socket.once('error', reject)
  })
}

/** At once: half a file would be a problem of its own, and said besides. */
function replaceFile(from: string, to: string): void {
  copyFileSync(from, `${to}.new`)
  renameSync(`${to}.new`, to)
}

async function setUp(t: Test) {
  const folder = temporaryFolder(t)
  const authority = await createAuthority(folder)
  const [certFile, keyFile] = [join(folder, 'tls.crt'), join(folder, 'tls.key')]
  const install = (certificate: Certificate) => {
    replaceFile(certificate.certFile, certFile)
    replaceFile(certificate.keyFile, keyFile)
  }
  install(await authority.issue('first'))
  return { authority, certFile, keyFile, install }
}

async function listening(t: Test, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

test('a renewed certificate is used without a restart; one that is broken is not', { skip }, async (t) => {
  const { authority, certFile, keyFile, install } = await setUp(t)
  const lines: string[] = []
  const log = createLog('issuer', 'info', { write: (line) => void lines.push(line) })
  const [metrics, lifecycle] = [createMetrics(), createLifecycle(log)]
  t.teardown(lifecycle.close)
  const certificate = await openTlsCertificate({
    certFile,
    keyFile,
    settings: 'CERT, KEY',
    pollMs: 10,
    log,
    metrics,
    lifecycle,
  })
  const server = createServer(certificate.context, (_request, response) => void response.end())
  certificate.keepFresh(server)
  const port = await listening(t, server)
  const first = await serialOf(port, authority.ca)
  t.match(await metrics.metrics(), /^tls_certificate_expires_seconds \d{10}$/m)

  const second = await authority.issue('second')
  // Half of a renewal: the certificate is there and its key is not.
  replaceFile(second.certFile, certFile)
  await eventually(() => lines.some((line) => line.includes('is not the key of')))
  t.equal(await serialOf(port, authority.ca), first)
  writeFileSync(certFile, 'not a certificate')
  await eventually(() => lines.some((line) => line.includes('is not in PEM format')))
  t.equal(await serialOf(port, authority.ca), first)

  install(second)
  const renewed = await eventually(async () => {
    const serial = await serialOf(port, authority.ca)
    return serial !== first && serial
  })
  t.not(renewed, first)
  t.ok(lines.some((line) => line.includes('the renewed certificate is in use')))
  t.equal(lines.filter((line) => line.includes('is not in PEM format')).length, 1, 'said once, not at every look')
  t.notMatch(lines.join(''), 'PRIVATE KEY')
})

test('the issuer speaks HTTPS, and nothing older than TLS 1.2', { skip }, async (t) => {
  const { authority, certFile, keyFile } = await setUp(t)
  const issuer = await startIssuer(
    {
      ISSUER_PORT: '0',
      ISSUER_TLS_CERT_FILE: certFile,
      ISSUER_TLS_KEY_FILE: keyFile,
      DATA_DIR: join(temporaryFolder(t), 'data'),
      HASH_MEMORY_KIB: '7168',
      HASH_TIME: '5',
    },
    { log: createLog('issuer', 'silent') },
  )
  t.teardown(issuer.close)
  const { protocol, port } = new URL(issuer.url)
  t.equal(protocol, 'https:')
  t.ok(await serialOf(Number(port), authority.ca))
  await t.rejects(serialOf(Number(port), authority.ca, 'TLSv1.1'))
  const stranger = await createAuthority(temporaryFolder(t))
  await t.rejects(serialOf(Number(port), stranger.ca))
})

test('a certificate that can’t be used is said at the start', { skip }, async (t) => {
  const { authority, certFile, keyFile } = await setUp(t)
  const start = (env: Record<string, string>) =>
    startIssuer(
      { ISSUER_PORT: '0', DATA_DIR: join(temporaryFolder(t), 'data'), ...env },
      { log: createLog('issuer', 'silent') },
    )
  const other = await authority.issue('other')
  const rows: [env: Record<string, string>, problem: RegExp][] = [
    [{ ISSUER_TLS_CERT_FILE: certFile }, /belong together/],
    [{ ISSUER_TLS_CERT_FILE: certFile, ISSUER_TLS_KEY_FILE: other.keyFile }, /is not the key of/],
    [{ ISSUER_TLS_CERT_FILE: keyFile, ISSUER_TLS_KEY_FILE: keyFile }, /is not in PEM format/],
    [{ ISSUER_TLS_CERT_FILE: '/nonexistent', ISSUER_TLS_KEY_FILE: keyFile }, /ENOENT/],
  ]
  for (const [env, problem] of rows) await t.rejects(start(env), { name: 'SettingsError', message: problem })
})
