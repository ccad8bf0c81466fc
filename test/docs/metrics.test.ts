import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Test, test } from 'tap'
import { call, login, PASSWORD, statusThrough } from '../helpers/client.ts'
import { startDeployment, startRole } from '../helpers/deployment.ts'
import { type ExposedMetric, readMetrics } from '../helpers/metrics.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { uniqueName } from '../helpers/unique-name.ts'

const TEXT = readFileSync(fileURLToPath(new URL('../../docs/metrics.md', import.meta.url)), 'utf8')

/** The rows of one side's table, by the metric's name. */
function documented(side: string): Map<string, ExposedMetric> {
  const [, table = ''] = new RegExp(`<!-- ${side} -->\\n([\\s\\S]*?)<!-- /${side} -->`).exec(TEXT) ?? []
  const rows = [...table.matchAll(/^\| `(\w+)` \| (\w+) \| (.*?) \| (.*?) \|/gm)]
  return new Map(
    rows.map(([, name, type, labels, help]) => {
      const names = [...labels!.matchAll(/`(\w+)`/g)].map(([, label]) => label!)
      return [name!, { name: name!, type: type!, help: help!, labels: names }]
    }),
  )
}

async function exposed(url: string): Promise<ExposedMetric[]> {
  const { text } = (await call<{ text: string }>(`${url}/metrics`)).body
  return readMetrics(text)
}

/** What is there is documented as it is. @returns the names of what is there */
function compare(t: Test, side: string, metrics: ExposedMetric[]): Set<string> {
  const rows = documented(side)
  for (const { name, type, help, labels } of metrics) {
    const row = rows.get(name)
    t.match(row, { name, type, help }, `${side}: ${name}`)
    for (const label of labels) t.ok(row?.labels.includes(label), `${side}: ${name} has ${label}`)
  }
  return new Set(metrics.map(({ name }) => name))
}

test('embedded: every metric of both sides is in docs/metrics.md', async (t) => {
  const upstream = await startRecordingUpstream(t)
  const FEED_TOKEN = 'a feed token that only the tests know'
  const DATA_DIR = join(temporaryFolder(t), 'data')
  const issuer = await startRole(t, 'issuer', { ISSUER_PORT: '0', DATA_DIR, FEED_TOKEN })
  const sidecar = await startRole(t, 'sidecar', {
    ISSUER_URL: issuer.url,
    FEED_TOKEN,
    UPSTREAM: upstream.url,
    SIDECAR_PORT: '0',
    SIDECAR_ADMIN_PORT: '0',
    DATA_DIR: join(temporaryFolder(t), 'sidecar'),
  })
  const credentials = { email: 'sally@example.com', password: PASSWORD }
  await call(`${issuer.url}/auth/register`, { json: credentials })
  const { access_token } = await login(issuer.url, credentials)
  await call(`${issuer.url}/auth/forgot-password`, { json: { email: credentials.email } })
  await statusThrough(sidecar.url, access_token)
  compare(t, 'issuer', await exposed(issuer.url))
  compare(t, 'sidecar', await exposed(sidecar.adminUrl))
})

test('production: docs/metrics.md has what is there, and nothing else', { skip: missingProduction }, async (t) => {
  const upstream = await startRecordingUpstream(t)
  const folder = temporaryFolder(t)
  const routes = join(folder, 'routes.yaml')
  const { writeFileSync } = await import('node:fs')
  writeFileSync(routes, 'routes:\n  - path: /**\n')
  const { issuers, sidecars } = await startDeployment(t, {
    ...(await productionServers()),
    upstream: upstream.url,
    env: {
      AUDIT_TOPIC: uniqueName('audit'),
      SMTP_URL: 'smtp://127.0.0.1:1',
      MAIL_FROM: 'no-reply@example.com',
      ROUTES_FILE: routes,
      DATA_DIR: join(folder, 'sidecar'),
    },
  })
  const issuer = compare(t, 'issuer', await exposed(issuers[0]!.url))
  const sidecar = compare(t, 'sidecar', await exposed(sidecars[0]!.adminUrl))
  // The certificate's is there only with one, and then the issuer's /metrics is behind HTTPS: see tls-certificate.test.ts.
  issuer.add('tls_certificate_expires_seconds')
  sidecar.add('tls_certificate_expires_seconds')
  t.same(
    [...documented('issuer').keys()].filter((name) => !issuer.has(name)),
    [],
  )
  t.same(
    [...documented('sidecar').keys()].filter((name) => !sidecar.has(name)),
    [],
  )
})
