import fc from 'fast-check'
import { test } from 'tap'
import { type InjectionRules, inject } from '../../../../sidecar/injector/domain/inject.ts'
import { templatePorts } from '../../../../sidecar/injector/domain/pod-container.ts'
import { readTemplate, type SidecarTemplate } from '../../../../sidecar/injector/domain/template.ts'
import { patched, plainTemplate, podOf, TEMPLATE } from '../reviews.ts'

const USUAL = { proxy: 8080, admin: 8081 }

function rulesOf(document: unknown = TEMPLATE, mayOptOut = true): InjectionRules {
  const template = readTemplate(document) as SidecarTemplate
  return { template, ports: templatePorts(template, USUAL), mayOptOut }
}

interface Result {
  metadata: { labels: Record<string, string>; annotations: Record<string, string> }
  spec: Record<'containers' | 'initContainers' | 'volumes' | 'imagePullSecrets', Record<string, unknown>[]> & {
    terminationGracePeriodSeconds?: number
  }
}

/** The Pod that comes of it. */
function created(pod: unknown, rules = rulesOf()): Result {
  const verdict = inject(rules, pod)
  if (verdict.outcome !== 'injected') throw new Error(JSON.stringify(verdict))
  return patched(pod, verdict.patch) as Result
}

function message(pod: unknown, rules = rulesOf()): string {
  const verdict = inject(rules, pod)
  return verdict.outcome === 'refused' ? verdict.message : verdict.outcome
}

function envOf(container: Record<string, unknown> | undefined): Record<string, unknown> {
  const env = container?.env as { name: string; value?: string }[]
  return Object.fromEntries(env.map(({ name, value }) => [name, value]))
}

test('a Pod gets the container, its volumes, and what else the template has', async (t) => {
  const { metadata, spec } = created(podOf())
  t.strictSame(spec.containers, [{ ...podOf().spec.containers[0], lifecycle: { preStop: TEMPLATE.preStop } }])
  t.equal(spec.terminationGracePeriodSeconds, 45)
  const [sidecar] = spec.initContainers
  t.strictSame({ ...sidecar, env: [] }, { ...TEMPLATE.container, env: [] })
  t.strictSame(sidecar?.env, [...TEMPLATE.container.env, { name: 'UPSTREAM', value: 'http://127.0.0.1:3000' }])
  t.strictSame(spec.volumes, TEMPLATE.volumes)
  t.strictSame(spec.imagePullSecrets, TEMPLATE.imagePullSecrets)
  t.strictSame(metadata.annotations, TEMPLATE.annotations)
  t.strictSame(metadata.labels, { app: 'orders', ...TEMPLATE.labels, 'sallyport/injected': '8080' })
})

test('what a Pod has stays, and stays first', async (t) => {
  const spec = {
    initContainers: [{ name: 'migrate', image: 'orders:1', ports: [{ containerPort: 8080 }] }],
    volumes: [{ name: 'own', emptyDir: {} }],
    imagePullSecrets: [{ name: 'registry' }, { name: 'mine' }],
  }
  const labels = { 'app.kubernetes.io/part-of': 'shop', 'sallyport/injected': 'no' }
  const { metadata, spec: after } = created(podOf(spec, { labels, annotations: { 'example.com/sidecar': 'no' } }))
  t.same(
    after.initContainers.map(({ name }) => name),
    ['migrate', 'sallyport'],
  )
  t.same(
    after.volumes.map(({ name }) => name),
    ['own', 'sallyport-data'],
  )
  t.same(after.imagePullSecrets, spec.imagePullSecrets)
  t.match(metadata.labels, { 'app.kubernetes.io/part-of': 'shop', 'sallyport/injected': '8080' })
  t.equal(metadata.annotations['example.com/sidecar'], 'no')
})

test('a template without restartPolicy makes a plain container', async (t) => {
  const { metadata, spec } = created(podOf(), rulesOf(plainTemplate()))
  t.same(
    spec.containers.map(({ name }) => name),
    ['orders', 'sallyport'],
  )
  t.equal(spec.initContainers, undefined)
  t.equal(metadata.annotations['kubectl.kubernetes.io/default-container'], 'orders')
})

test('a service ends after the requests that are still sent to it, unless it sees to that itself', async (t) => {
  const postStart = { exec: { command: ['warm'] } }
  const own = { exec: { command: ['wait'] } }
  const containers = [
    { name: 'a', lifecycle: { postStart }, ports: [{ containerPort: 3000 }] },
    { name: 'b', lifecycle: { preStop: own } },
    { name: 'c' },
  ]
  const { spec } = created(podOf({ containers, terminationGracePeriodSeconds: 60 }))
  t.same(
    spec.containers.map(({ lifecycle }) => lifecycle),
    [{ postStart, preStop: TEMPLATE.preStop }, { preStop: own }, { preStop: TEMPLATE.preStop }],
  )
  t.equal(spec.terminationGracePeriodSeconds, 60)
  const { preStop: _none, terminationGracePeriodSeconds: _neither, ...template } = TEMPLATE
  const { spec: asItWas } = created(podOf(), rulesOf(template))
  t.strictSame(asItWas.containers, podOf().spec.containers)
  t.notOk('terminationGracePeriodSeconds' in asItWas)
})

test('annotations set what a Pod’s sidecar has of its own', async (t) => {
  const annotations = {
    'sallyport/upstream-port': '9000',
    'sallyport/upstream-protocol': 'h2c',
    'sallyport/routes': 'orders-routes',
    'sallyport/audience': 'orders,shop',
    'sallyport/port': '7000',
    'sallyport/admin-port': '7001',
    'other.example/anything': 'goes',
  }
  const { spec } = created(podOf({}, { annotations }))
  const [sidecar] = spec.initContainers
  t.strictSame(envOf(sidecar), {
    SIDECAR_HOST: '0.0.0.0',
    AUDIENCE: 'orders,shop',
    ISSUER_URL: 'https://issuer.example',
    FEED_TOKEN: undefined,
    UPSTREAM: 'h2c://127.0.0.1:9000',
    SIDECAR_PORT: '7000',
    SIDECAR_ADMIN_PORT: '7001',
    ROUTES_FILE: '/run/sallyport/routes/routes.yaml',
  })
  t.match(sidecar, {
    ports: [
      { name: 'sallyport', containerPort: 7000 },
      { name: 'sallyport-admin', containerPort: 7001 },
    ],
    startupProbe: { httpGet: { port: 7001 } },
    livenessProbe: { httpGet: { port: 'sallyport-admin' } },
    securityContext: { runAsUser: 1000 },
    volumeMounts: [{ name: 'sallyport-data' }, { name: 'sallyport-routes', mountPath: '/run/sallyport/routes' }],
  })
  t.strictSame(spec.volumes[1], { name: 'sallyport-routes', configMap: { name: 'orders-routes' } })
})

test('ports in commands that ask for health are moved, too', async (t) => {
  const probe = (port: number) => ({ exec: { command: ['node', 'health', `http://127.0.0.1:${port}/livez`] } })
  const rules = rulesOf({ ...TEMPLATE, container: { ...TEMPLATE.container, livenessProbe: probe(8081) } })
  const { spec } = created(podOf({}, { annotations: { 'sallyport/admin-port': '7001' } }), rules)
  t.match(spec.initContainers[0], { livenessProbe: probe(7001) })
})

test('routes of the template give way to the Pod’s', async (t) => {
  const volumes = [{ name: 'sallyport-routes', configMap: { name: 'for-all' } }]
  const container = { ...TEMPLATE.container, volumeMounts: [{ name: 'sallyport-routes', mountPath: '/elsewhere' }] }
  const rules = rulesOf({ ...TEMPLATE, container, volumes })
  const { spec } = created(podOf({}, { annotations: { 'sallyport/routes': 'mine' } }), rules)
  t.strictSame(spec.volumes, [{ name: 'sallyport-routes', configMap: { name: 'mine' } }])
  t.strictSame(spec.initContainers[0]?.volumeMounts, [
    { name: 'sallyport-routes', mountPath: '/run/sallyport/routes', readOnly: true },
  ])
})

test('which service: the annotation, else the template, else the only port there is', async (t) => {
  const withUpstream = (value: string) => {
    const env = [...TEMPLATE.container.env, { name: 'UPSTREAM', value }]
    return rulesOf({ ...TEMPLATE, container: { ...TEMPLATE.container, env } })
  }
  const upstream = (pod: unknown, rules?: InjectionRules) => envOf(created(pod, rules).spec.initContainers[0]).UPSTREAM
  t.equal(upstream(podOf(), withUpstream('http://127.0.0.1:5000')), 'http://127.0.0.1:5000')
  const annotations = { 'sallyport/upstream-port': '6000' }
  t.equal(upstream(podOf({}, { annotations }), withUpstream('http://127.0.0.1:5000')), 'http://127.0.0.1:6000')
  const ports = [
    { containerPort: 53, protocol: 'UDP' },
    { containerPort: 4000, protocol: 'TCP' },
    { containerPort: 4000 },
  ]
  t.equal(upstream(podOf({ containers: [{ name: 'a', ports }] })), 'http://127.0.0.1:4000')
  t.match(message(podOf({ containers: [{ name: 'a' }] })), /upstream-port: is needed.*no container declares one/)
  const two = [{ containerPort: 4000 }, { containerPort: 5000 }]
  t.match(message(podOf({ containers: [{ name: 'a', ports: two }] })), /is needed.*declare 4000, 5000/)
  t.match(message(podOf(), withUpstream('http://127.0.0.1:8080')), /^port 8080: /)
})

test('what cannot be is refused, with what to do', async (t) => {
  const on = (...ports: object[]) => ({ containers: [{ name: 'orders', ports }] })
  const note = (name: string, value: string) => podOf({}, { annotations: { [`sallyport/${name}`]: value } })
  const rows: [name: string, pod: unknown, expected: RegExp][] = [
    ['hostNetwork', podOf({ hostNetwork: true }), /^hostNetwork: .*label it sallyport\/inject: "false"/],
    ['Windows by os', podOf({ os: { name: 'windows' } }), /Windows/],
    ['Windows by node', podOf({ nodeSelector: { 'kubernetes.io/os': 'windows' } }), /Windows/],
    ['the service on the sidecar’s port', podOf(on({ containerPort: 8080 })), /^port 8080: .*sallyport\/port$/],
    ['the same by annotation', note('upstream-port', '8081'), /^port 8081: .*sallyport\/admin-port$/],
    ['moved onto the service', note('port', '3000'), /^port 3000: the sidecar listens on the port of the service/],
    ['both ports the same', note('port', '8081'), /^port 8081: the sidecar needs two ports/],
    [
      'another container’s port',
      podOf(
        {
          containers: [
            { name: 'a', ports: [{ containerPort: 3000 }] },
            { name: 'b', ports: [{ containerPort: 8081 }] },
          ],
        },
        { annotations: { 'sallyport/upstream-port': '3000' } },
      ),
      /^container b: port 8081 is the sidecar's; .*sallyport\/admin-port$/,
    ],
    [
      'a native sidecar’s port',
      podOf(
        { initContainers: [{ name: 'b', restartPolicy: 'Always', ports: [{ containerPort: 8080 }] }] },
        { annotations: { 'sallyport/upstream-port': '3000' } },
      ),
      /^container b: port 8080/,
    ],
    [
      'around by hostPort',
      podOf(on({ containerPort: 3000, hostPort: 3000 })),
      /^container orders: hostPort opens port 3000/,
    ],
    [
      'a volume of the same name',
      podOf({ volumes: [{ name: 'sallyport-data' }] }),
      /^volume sallyport-data: .*rename it/,
    ],
    [
      'the routes volume’s name',
      podOf({ volumes: [{ name: 'sallyport-routes' }] }, { annotations: { 'sallyport/routes': 'a' } }),
      /^volume sallyport-routes: /,
    ],
    [
      'another program of that name',
      podOf({ containers: [{ name: 'sallyport', image: 'x' }] }),
      /^container sallyport: .*another program/,
    ],
    [
      'the sidecar as a step before the start',
      podOf({ initContainers: [{ name: 'sallyport', image: 'x', args: ['sidecar'] }] }),
      /^container sallyport: /,
    ],
    ['a wrong label', podOf({}, { labels: { 'sallyport/inject': 'no' } }), /"no" is neither true nor false/],
    ['the label as an annotation', note('inject', 'true'), /^annotation sallyport\/inject: that is a label$/],
    ['an unknown annotation', note('upstream', '1'), /^annotation sallyport\/upstream: there is no such annotation$/],
    ['a near miss', note('upstrem-port', '1'), /did you mean sallyport\/upstream-port\?$/],
    ['no port', note('upstream-port', '0'), /"0" is not a whole number from 1 to 65535/],
    ['no protocol', note('upstream-protocol', 'ftp'), /"ftp" is not one of http, h2c/],
    ['no name', note('routes', '../a'), /is not the name of a ConfigMap/],
    ['a secret by way of Kubernetes', note('audience', '$(FEED_TOKEN)'), /is not audiences/],
  ]
  for (const [name, pod, expected] of rows) t.match(message(pod), expected, name)
  const two = podOf({}, { annotations: { 'sallyport/port': 'x', 'sallyport/routes': '' } })
  t.match(message(two), /port: "x".*; annotation sallyport\/routes: ""/, 'all at once')
})

test('ports that end before, or are not TCP, are in nobody’s way', async (t) => {
  const ports = [{ containerPort: 3000 }, { containerPort: 8080, protocol: 'UDP' }]
  t.equal(inject(rulesOf(), podOf({ containers: [{ name: 'a', ports }] })).outcome, 'injected')
})

test('a Job’s Pod gets a native sidecar, and no plain one, which would keep it from ending', async (t) => {
  for (const restartPolicy of ['Never', 'OnFailure']) {
    t.equal(inject(rulesOf(), podOf({ restartPolicy })).outcome, 'injected')
    t.match(message(podOf({ restartPolicy }), rulesOf(plainTemplate())), /would never end/)
  }
})

test('a Pod may do without by its label, unless that is switched off', async (t) => {
  const pod = podOf({ hostNetwork: true }, { labels: { 'sallyport/inject': 'false' } })
  t.strictSame(inject(rulesOf(), pod), { outcome: 'opted_out' })
  t.match(message(pod, rulesOf(TEMPLATE, false)), /no Pod may do without the sidecar here/)
  t.equal(inject(rulesOf(), podOf({}, { labels: { 'sallyport/inject': 'true' } })).outcome, 'injected')
})

test('a shared process namespace is let in with a warning', async (t) => {
  t.match(inject(rulesOf(), podOf({ shareProcessNamespace: true })), { warnings: [/^shareProcessNamespace: /] })
})

test('the second call finds the sidecar, also when others have changed it since', async (t) => {
  for (const rules of [rulesOf(), rulesOf(plainTemplate())]) {
    const pod = created(podOf(), rules)
    t.strictSame(inject(rules, pod), { outcome: 'present', warnings: [] })
    const [sidecar] = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].filter(
      ({ name }) => name === 'sallyport',
    )
    Object.assign(sidecar!, {
      image: 'mirror.example/sallyport@sha256:0',
      terminationMessagePath: '/dev/termination-log',
    })
    t.match(inject(rules, pod), { outcome: 'present', warnings: [/^container sallyport: its image is mirror/] })
  }
})

const odd = fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.constantFrom(null, {}, [], '', 'Always', 8080, 3000, true))
const mostly = <T>(usual: fc.Arbitrary<T>) => fc.oneof({ weight: 50, arbitrary: usual }, { weight: 1, arbitrary: odd })
const some = { requiredKeys: [] }
const oddContainer = fc.record({
  name: mostly(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'sallyport')),
  image: mostly(fc.string()),
  args: mostly(fc.constantFrom(['sidecar'], [])),
  restartPolicy: mostly(fc.constantFrom('Always', undefined)),
  ports: mostly(
    fc.array(
      fc.record(
        {
          containerPort: mostly(fc.constantFrom(3000, 8080, 9000, 9001, 9002)),
          hostPort: fc.constantFrom(undefined, undefined, 3000),
        },
        some,
      ),
      {
        maxLength: 2,
      },
    ),
  ),
})
const oddLabels = fc.record(
  {
    'sallyport/inject': mostly(fc.constantFrom('true', 'true', 'false')),
    'sallyport/injected': mostly(fc.constantFrom('true', 'no')),
    'a~b/c': mostly(fc.string()),
    ['__proto__']: mostly(fc.string()),
  },
  some,
)
const oddAnnotations = fc.record(
  {
    'sallyport/upstream-port': mostly(fc.constantFrom('3000', '9000', '8080', '4000')),
    'sallyport/port': mostly(fc.constantFrom('8080', '8081', '7000')),
    'sallyport/routes': mostly(fc.constantFrom('a', 'orders-routes')),
    constructor: mostly(fc.string()),
  },
  some,
)

const oddPod = fc.record(
  {
    metadata: mostly(fc.record({ labels: mostly(oddLabels), annotations: mostly(oddAnnotations) }, some)),
    spec: mostly(
      fc.record(
        {
          containers: mostly(fc.array(oddContainer, { minLength: 1, maxLength: 3 })),
          initContainers: mostly(fc.array(oddContainer, { maxLength: 2 })),
          volumes: mostly(fc.array(fc.record({ name: mostly(fc.constantFrom('a', 'sallyport-data')) }))),
          imagePullSecrets: mostly(fc.array(fc.record({ name: mostly(fc.constantFrom('a', 'registry')) }))),
          hostNetwork: mostly(fc.constant(false)),
          restartPolicy: mostly(fc.constantFrom('Always', 'Never')),
        },
        { requiredKeys: ['containers'] },
      ),
    ),
  },
  { requiredKeys: ['metadata', 'spec'] },
)

test('whatever a Pod is like: a verdict; a patch that applies; and twice is once', async (t) => {
  let injections = 0
  fc.assert(
    fc.property(mostly(oddPod), fc.boolean(), (value, native) => {
      const pod = JSON.parse(JSON.stringify(value))
      const rules = rulesOf(native ? TEMPLATE : plainTemplate())
      const verdict = inject(rules, pod)
      if (verdict.outcome !== 'injected') return
      injections++
      const after = patched(pod, verdict.patch) as Result
      if (after.metadata.labels['sallyport/injected'] === undefined) throw new Error('no label')
      const again = inject(rules, after).outcome
      if (again !== 'present') throw new Error(again)
    }),
    { numRuns: 3000 },
  )
  t.ok(injections > 20, `${injections} of them got the sidecar`)
})
