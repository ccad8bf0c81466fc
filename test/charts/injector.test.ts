import { X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { type Test, test } from 'tap'
import { stringify } from 'yaml'
import { checkSettings } from '../../bin/known-settings.ts'
import { inject } from '../../sidecar/injector/domain/inject.ts'
import { POD_SETTINGS, PREFIX } from '../../sidecar/injector/domain/pod-settings.ts'
import { readTemplateFile } from '../../sidecar/injector/template-file.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { run } from '../servers/command.ts'
import { findChartTools } from '../servers/helm.ts'
import { missingChartTools } from '../servers/kubeconform.ts'
import { patched } from '../sidecar/injector/reviews.ts'
import { chartsFolder, ciValues, NEWEST, OLDEST, prepareCharts, render } from './charts.ts'
import { environmentOf, type KubernetesObject, objectOf, objectsOf } from './objects.ts'

const skip = await missingChartTools()
const folderOf = skip ? undefined : await prepareCharts()
const NAME = 'sallyport-injector'
const MINIMAL = ['sidecar.issuer.url=https://issuer.example.com', 'sidecar.feedToken.secret=sallyport-feed']

async function rendered(values: readonly string[] = MINIMAL, kubeVersion = NEWEST): Promise<KubernetesObject[]> {
  const args = values.flatMap((value) => ['--set', value])
  return objectsOf(await render(folderOf!('injector'), { args, kubeVersion }))
}

/** What the chart has Pods given, read as the injector reads it. */
async function rulesOf(t: Test, objects: readonly KubernetesObject[]) {
  const file = join(temporaryFolder(t), 'template.yaml')
  writeFileSync(file, objectOf(objects, 'ConfigMap').data!['template.yaml']!)
  const template = await readTemplateFile(file)
  const { SIDECAR_PORT, SIDECAR_ADMIN_PORT } = environmentOf({ env: [...template.env] as never })
  const ports = { proxy: Number(SIDECAR_PORT), admin: Number(SIDECAR_ADMIN_PORT) }
  return { template, ports, mayOptOut: false, guarded: new Set<string>(), whenExposed: 'warn' as const }
}

test('the README has every annotation as it is', async (t) => {
  const readme = readFileSync(join(chartsFolder, 'injector/README.md'), 'utf8')
  const rows = Object.entries(POD_SETTINGS).map(([name, { kind, meaning }]) => {
    return `| \`${PREFIX}${name}\` | ${kind.expects} | ${meaning} |`
  })
  const [, table] = /<!-- annotations -->\n([\s\S]*?)<!-- \/annotations -->/.exec(readme) ?? []
  t.equal(table, ['| annotation | value | what it means |', '| --- | --- | --- |', ...rows, ''].join('\n'))
})

for (const file of ciValues('injector')) {
  for (const kubeVersion of [OLDEST, NEWEST]) {
    const name = `${basename(file)} on Kubernetes ${kubeVersion}`
    test(`${name}: the injector takes its settings and its template`, { skip }, async (t) => {
      const objects = objectsOf(await render(folderOf!('injector'), { files: [file], kubeVersion }))
      const [container] = objectOf(objects, 'Deployment').spec.template.spec.containers
      const { INJECTOR_TLS_CLIENT_CA_FILE: _mounted, ...env } = environmentOf(container)
      t.doesNotThrow(() => checkSettings(env, ['injector']))
      const rules = await rulesOf(t, objects)
      const pod = { metadata: {}, spec: { containers: [{ name: 'orders', ports: [{ containerPort: 3000 }] }] } }
      const verdict = inject(rules, pod, 'shop')
      t.equal(verdict.outcome, 'injected')
      const after = 'patch' in verdict && patched(pod, verdict.patch)
      t.equal(inject(rules, after, 'shop').outcome, 'present')
    })
  }
}

/** How the example's chart says what the injector is told by annotations. */
const SAME = ['sidecar.service.port=3000', 'sidecar.routesConfigMap=orders-routes', 'sidecar.audience={orders,shop}']
const ANNOTATIONS = {
  'sallyport/upstream-port': '3000',
  'sallyport/routes': 'orders-routes',
  'sallyport/audience': 'orders,shop',
}

for (const kubeVersion of [OLDEST, '1.29.0', NEWEST]) {
  test(`Kubernetes ${kubeVersion}: a Pod gets what a chart with the library gives it`, { skip }, async (t) => {
    const args = [...MINIMAL, ...SAME].flatMap((value) => ['--set', value])
    const own = objectsOf(
      await render(folderOf!('example'), { args: [...args, '--set-json', 'sidecar.routes=[]'], kubeVersion }),
    )
    const { metadata, spec: expected } = objectOf(own, 'Deployment').spec.template
    const rules = await rulesOf(t, await rendered(MINIMAL, kubeVersion))
    const byName = ({ name }: { name: string }) => name === 'sallyport'
    const isOurs = ({ name }: { name: string }) => name.startsWith('sallyport')
    const sidecarOf = (spec: typeof expected) => [...spec.containers, ...(spec.initContainers ?? [])].find(byName)
    t.ok(sidecarOf(expected))

    // The same Pod as if its chart did not know of the sidecar.
    const others = expected.containers.filter((found: { name: string }) => !byName(found))
    const pod = {
      metadata: { labels: metadata.labels, annotations: ANNOTATIONS },
      spec: { containers: others.map(({ lifecycle: _ours, ...container }: { lifecycle?: object }) => container) },
    }
    const verdict = inject(rules, pod, 'shop')
    const { metadata: given, spec } = patched<{ metadata: typeof metadata; spec: typeof expected }>(
      pod as never,
      'patch' in verdict ? verdict.patch : [],
    )
    const sorted = (container: typeof expected) => ({
      ...container,
      env: container.env.toSorted((a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1)),
      volumeMounts: container.volumeMounts.toSorted((a: { name: string }, b: { name: string }) =>
        a.name < b.name ? -1 : 1,
      ),
    })
    t.strictSame(sorted(sidecarOf(spec)), sorted(sidecarOf(expected)))
    t.strictSame(new Set(spec.volumes), new Set(expected.volumes.filter(isOurs)))
    t.equal(spec.terminationGracePeriodSeconds, expected.terminationGracePeriodSeconds)
    const preStops = (containers: { name: string; lifecycle?: object }[]) =>
      containers.filter((found) => !byName(found)).map(({ name, lifecycle }) => [name, lifecycle])
    t.strictSame(preStops(spec.containers), preStops(expected.containers))
    const key = 'kubectl.kubernetes.io/default-container'
    t.equal(given.annotations[key], metadata.annotations?.[key])
  })
}

interface CertificateObjects {
  authority: KubernetesObject
  certificate: KubernetesObject
  bundle: string
}

function certificateOf(objects: readonly KubernetesObject[]): CertificateObjects {
  const webhook = objectOf(objects, 'MutatingWebhookConfiguration') as KubernetesObject & {
    webhooks: { clientConfig: { caBundle: string } }[]
  }
  const bundles = new Set(webhook.webhooks.map(({ clientConfig }) => clientConfig.caBundle))
  if (bundles.size !== 1) throw new Error('webhooks trust different authorities')
  return {
    authority: objectOf(objects, 'Secret', `${NAME}-ca`),
    certificate: objectOf(objects, 'Secret', `${NAME}-tls`),
    bundle: decoded([...bundles][0]!),
  }
}

const decoded = (text = '') => Buffer.from(text, 'base64').toString()
const x509 = (secret: KubernetesObject) => new X509Certificate(decoded(secret.data!['tls.crt']))

test('the generated certificate is for the Service, signed by what the webhook trusts', { skip }, async (t) => {
  const { authority, certificate, bundle } = certificateOf(await rendered())
  const [leaf, root] = [x509(certificate), x509(authority)]
  t.equal(bundle, decoded(authority.data!['tls.crt']))
  t.ok(leaf.verify(root.publicKey))
  t.ok(leaf.checkHost(`${NAME}.auth.svc`))
  t.ok(root.ca)
  t.ok(leaf.validToDate < root.validToDate)
  const days = (leaf.validToDate.getTime() - Date.now()) / 86_400_000
  t.ok(days > 1094 && days < 1096, `${days} days`)
})

test('upgrades keep the authority, and renew the certificate when that is due', {
  skip,
  timeout: 300_000,
}, async (t) => {
  const { authority, certificate } = certificateOf(await rendered())
  const notes = certificate.metadata.annotations!
  const old = {
    ...certificate,
    metadata: { ...certificate.metadata, annotations: { ...notes, 'sallyport/renew-after': '1000000000' } },
  }
  const elsewhere = {
    ...certificate,
    metadata: { ...certificate.metadata, annotations: { ...notes, 'sallyport/is-for': 'another' } },
  }
  const authorityText = authority.data!['tls.crt']!
  const path = (name: string, documentIndex: number, key: string, value: string) => ({
    documentIndex,
    [name]: { path: `data["${key}"]`, value },
  })
  const keepsAuthority = [
    path('equal', 0, 'tls.crt', authorityText),
    path('equal', 0, 'tls.key', authority.data!['tls.key']!),
    { documentIndex: 2, equal: { path: 'webhooks[0].clientConfig.caBundle', value: authorityText } },
  ]
  const keepsCertificate = ['tls.crt', 'tls.key'].map((key) => path('equal', 1, key, certificate.data![key]!))
  const newCertificate = ['tls.crt', 'tls.key'].map((key) => path('notEqual', 1, key, certificate.data![key]!))
  const there = (...objects: KubernetesObject[]) => ({
    kubernetesProvider: {
      scheme: { 'v1/Secret': { gvr: { version: 'v1', resource: 'secrets' }, namespaced: true } },
      objects: objects.map((object) => ({ ...object, metadata: { ...object.metadata, namespace: 'auth' } })),
    },
  })
  const aged = {
    ...authority,
    metadata: {
      ...authority.metadata,
      annotations: { ...authority.metadata.annotations, 'sallyport/renew-after': '1000000000' },
    },
  }
  const replaced = [
    path('notEqual', 0, 'tls.crt', authorityText),
    ...newCertificate,
    {
      documentIndex: 2,
      matchRegex: {
        path: 'webhooks[0].clientConfig.caBundle',
        decodeBase64: true,
        pattern: `(?s)BEGIN CERTIFICATE.+BEGIN CERTIFICATE.+${decoded(authorityText).split('\n')[2]!.replace(/[+/]/g, '.')}`,
      },
    },
  ]
  const suite = {
    suite: 'upgrades',
    templates: ['webhook.yaml'],
    release: { name: 'sallyport', namespace: 'auth' },
    set: Object.fromEntries(MINIMAL.map((value) => value.split('='))),
    tests: [
      { it: 'keeps both', ...there(authority, certificate), asserts: [...keepsAuthority, ...keepsCertificate] },
      { it: 'renews an old one', ...there(authority, old), asserts: [...keepsAuthority, ...newCertificate] },
      {
        it: 'renews one of other names',
        ...there(authority, elsewhere),
        asserts: [...keepsAuthority, ...newCertificate],
      },
      { it: 'makes a lost one', ...there(authority), asserts: [...keepsAuthority, ...newCertificate] },
      {
        it: 'replaces the authority, and trusts both',
        set: { 'tls.generated.generation': 2 },
        ...there(authority, certificate),
        asserts: replaced,
      },
      { it: 'replaces an authority that what it signs would outlive', ...there(aged, certificate), asserts: replaced },
    ],
  }
  // Only helm-unittest has a cluster to look things up in. A suite with a key in it is in no repository.
  writeFileSync(join(folderOf!('injector'), 'tests/upgrade_test.yaml'), stringify(suite))
  const tools = await findChartTools()
  const said = await run(tools['helm-unittest'], ['--file', 'tests/upgrade_test.yaml', folderOf!('injector')], {
    timeout: 300_000,
  })
  t.match(said, /Tests: +6 passed, 6 total/)
})

test('injected Pods are closed but for their sidecars’ ports', { skip }, async (t) => {
  const objects = await rendered([...MINIMAL, 'injected.namespaces={shop,billing}', 'injected.ports={7000}'])
  const policies = objects.filter(({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.namespace !== undefined)
  t.same(
    policies.map(({ metadata, spec }) => [metadata.namespace, spec.podSelector, spec.ingress]),
    ['shop', 'billing'].flatMap((namespace) => [
      [namespace, { matchExpressions: [{ key: 'sallyport/injected', operator: 'Exists' }] }, []],
      ...[8080, 7000].map((port) => [
        namespace,
        { matchLabels: { 'sallyport/injected': String(port) } },
        [{ ports: [{ protocol: 'TCP', port }] }],
      ]),
    ]),
  )
})

const refused: [set: string, says: RegExp][] = [
  ['webhook.failurePolicy=Maybe', /failurePolicy/],
  ['webhook.timeoutSeconds=31', /timeoutSeconds/],
  ['webhook.failurPolicy=Fail', /failurPolicy/],
  ['replicaCount=0', /replicaCount/],
  ['tls.mode=existing', /tls\.existing\.secretName: /],
  ['tls.generated.renewAfterDays=2000', /tls\.generated\.renewAfterDays: /],
  ['tls.generated.authorityDays=100', /tls\.generated\.days: /],
  ['admin.port=8443', /admin\.port: /],
  ['podMonitor.enabled=true', /networkPolicy\.metricsFrom: /],
  ['injected.namespaces={auth}', /injected\.namespaces: auth /],
  ['injected.namespaces={kube-system}', /injected\.namespaces: .*kube-system/],
  ['injected.ports={7000}', /injected\.ports: /],
  ['webhook.whenExposed=allow', /whenExposed/],
  ['sidecar.networkPolicy.additional[0].ports[0].port=3000', /sidecar\.networkPolicy\.additional: /],
  ['sidecar.isolation=networkPolicy', /sidecar\.isolation: networkPolicy needs injected\.namespaces/],
  ['sidecar.isolation=null', /isolation/],
  ['injected.labels.sallyport/inject=x', /injected\.labels: sallyport\/inject /],
  ['injected.annotations.sallyport/port=x', /injected\.annotations: sallyport\/port /],
  ['sidecar.routes[0].path=/a', /sidecar\.routes: /],
  ['sidecar.issuer.url=', /sidecar\.issuer\.url: /],
  ['sidecar.feedToken.secret=', /sidecar\.feedToken\.secret: /],
  ['sidecar.admin.port=8080', /sidecar\.admin\.port: /],
  ['sidecar.settings.MAX_STALENESS=soon', /settings.MAX_STALENESS/],
]

test('refused: what contradicts itself', { skip }, async (t) => {
  const ignore = ['webhook.optOut=false', 'webhook.failurePolicy=Ignore']
  await t.rejects(rendered([...MINIMAL, ...ignore]), { message: /webhook\.failurePolicy: Ignore lets Pods/ })
  const open = ['injected.namespaces={shop}', 'sidecar.networkPolicy.enabled=false']
  await t.rejects(rendered([...MINIMAL, ...open]), { message: /sidecar\.networkPolicy\.enabled: is needed/ })
})

test('the injector knows which namespaces have a policy', { skip }, async (t) => {
  const envOf = async (values: string[]) =>
    environmentOf(objectOf(await rendered([...MINIMAL, ...values]), 'Deployment').spec.template.spec.containers[0])
  t.match(await envOf(['injected.namespaces={shop,billing}', 'webhook.whenExposed=refuse']), {
    INJECTOR_GUARDED_NAMESPACES: 'shop,billing',
    INJECTOR_WHEN_EXPOSED: 'refuse',
  })
  t.notOk('INJECTOR_GUARDED_NAMESPACES' in (await envOf([])))
})

for (const [set, says] of refused) {
  test(`refused: ${set}`, { skip }, async (t) => {
    await t.rejects(rendered([...MINIMAL, set]), { message: says })
  })
}
