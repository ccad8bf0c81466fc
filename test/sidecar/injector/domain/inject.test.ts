import fc from 'fast-check'
import { test } from 'tap'
import { inject as decide, type InjectionRules } from '../../../../sidecar/injector/domain/inject.ts'
import { templatePorts } from '../../../../sidecar/injector/domain/pod-container.ts'
import { readTemplate, type SidecarTemplate } from '../../../../sidecar/injector/domain/template.ts'
import { patched, plainTemplate, podOf, TEMPLATE } from '../reviews.ts'

const USUAL = { proxy: 8080, admin: 8081 }

function rulesOf(document: unknown = TEMPLATE, mayOptOut = true): InjectionRules {
  const template = readTemplate(document) as SidecarTemplate
  const guarded = new Set(['shop'])
  return { template, ports: templatePorts(template, USUAL), mayOptOut, guarded, whenExposed: 'refuse' }
}

const inject = (rules: InjectionRules, pod: unknown) => decide(rules, pod, 'shop')

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
  const upstream = (pod: unknown, rules?: InjectionRules) =>
    envOf(created(pod, rules).spec.initContainers.at(-1)).UPSTREAM
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
  const mesh = { initContainers: [{ name: 'mesh', restartPolicy: 'Always', ports: [{ containerPort: 15001 }] }] }
  t.equal(upstream(podOf(mesh)), 'http://127.0.0.1:3000', 'the ports of sidecars are not the service’s')
  t.match(message(podOf({ ...mesh, containers: [{ name: 'a' }] })), /no container declares one/)
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
      'around by the hostPort of a port that is not said to be the service’s',
      podOf(on({ containerPort: 9, hostPort: 9000, protocol: 'UDP' }), {
        annotations: { 'sallyport/upstream-port': '3000' },
      }),
      /^container orders: hostPort opens port 9000/,
    ],
    [
      'a service where the sidecars of others are',
      podOf({}, { annotations: { 'sallyport/port': '9090', 'sallyport/upstream-port': '8080' } }),
      /^port 8080: other Pods' sidecars have it/,
    ],
    [
      'a service where the metrics of others are',
      podOf({}, { annotations: { 'sallyport/admin-port': '9091', 'sallyport/upstream-port': '8081' } }),
      /^port 8081: other Pods' sidecars have it/,
    ],
    [
      'a kernel that lets others reach 127.0.0.1',
      podOf({ securityContext: { sysctls: [{ name: 'net.ipv4.conf.all.route_localnet', value: '1' }] } }),
      /route_localnet/,
    ],
    [
      'another network, where no policy holds',
      podOf({}, { annotations: { 'k8s.v1.cni.cncf.io/networks': 'macvlan' } }),
      /port 3000 is declared/,
    ],
    [
      'more containers than there can be',
      podOf({ containers: Array.from({ length: 1001 }, () => ({ name: 'a' })) }),
      /spec\.containers has more than 1000 items/,
    ],
    ['the port of metrics alone', podOf(on({ containerPort: 9100, name: 'metrics' })), /is needed.*9100 \(metrics\)/],
    [
      'a mounted volume of the sidecar',
      podOf({
        containers: [{ name: 'a', ports: [{ containerPort: 3000 }], volumeMounts: [{ name: 'sallyport-data' }] }],
      }),
      /^container a: volume sallyport-data is the sidecar's alone/,
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

/** The sidecar in a Pod. */
const sidecarIn = ({ spec }: Result) =>
  [...(spec.initContainers ?? []), ...spec.containers].find(({ name }) => name === 'sallyport')!

test('the second call finds the sidecar, also when others have changed it since', async (t) => {
  for (const rules of [rulesOf(), rulesOf(plainTemplate())]) {
    const pod = created(podOf(), rules)
    t.strictSame(inject(rules, pod), { outcome: 'present', patch: [], warnings: [] })
    Object.assign(sidecarIn(pod), {
      image: 'mirror.example/sallyport@sha256:0',
      terminationMessagePath: '/dev/termination-log',
    })
    t.match(inject(rules, pod), {
      outcome: 'present',
      patch: [],
      warnings: [/^container sallyport: its image is mirror/],
    })
  }
})

/** What a Pod's author can make of the sidecar before anybody asks. */
const TAMPERED: [name: string, change: (pod: Result) => void][] = [
  ['another image', (pod) => Object.assign(sidecarIn(pod), { image: 'evil/sallyport' })],
  ['another issuer', (pod) => Object.assign((sidecarIn(pod).env as object[])[2]!, { value: 'http://evil' })],
  ['one more variable', (pod) => (sidecarIn(pod).env as object[]).push({ name: 'NODE_OPTIONS', value: '--import x' })],
  ['variables from elsewhere', (pod) => Object.assign(sidecarIn(pod), { envFrom: [{ configMapRef: { name: 'x' } }] })],
  ['another folder', (pod) => Object.assign(sidecarIn(pod), { workingDir: '/data' })],
  ['one more mount', (pod) => (sidecarIn(pod).volumeMounts as object[]).push({ name: 'x', mountPath: '/app' })],
  ['a part of a mount', (pod) => Object.assign((sidecarIn(pod).volumeMounts as object[])[0]!, { subPath: 'x' })],
  ['more rights', (pod) => Object.assign(sidecarIn(pod), { securityContext: { privileged: true } })],
  ['a hook', (pod) => Object.assign(sidecarIn(pod), { lifecycle: { postStart: { exec: { command: ['x'] } } } })],
  [
    'a probe that runs something',
    (pod) => Object.assign(sidecarIn(pod), { livenessProbe: { exec: { command: ['x'] } } }),
  ],
  ['one more probe', (pod) => Object.assign(sidecarIn(pod), { readinessProbe: { exec: { command: ['x'] } } })],
  ['no probe', (pod) => Object.assign(sidecarIn(pod), { startupProbe: undefined })],
  ['rules for its end', (pod) => Object.assign(sidecarIn(pod), { restartPolicyRules: [{ action: 'Restart' }] })],
  ['a port by another protocol', (pod) => Object.assign((sidecarIn(pod).ports as object[])[0]!, { protocol: 'UDP' })],
  ['another volume', (pod) => Object.assign(pod.spec.volumes[0]!, { emptyDir: undefined, hostPath: { path: '/' } })],
  ['no volume', (pod) => pod.spec.volumes.splice(0)],
  ['another label', (pod) => Object.assign(pod.metadata.labels, { 'sallyport/injected': '3000' })],
]

test('where no Pod may do without, none may bring a sidecar of its own', async (t) => {
  const strict = rulesOf(TEMPLATE, false)
  for (const [name, change] of TAMPERED) {
    const pod = created(podOf(), strict)
    change(pod)
    t.match(message(pod, strict), /^container sallyport: no Pod may bring a sidecar of its own here/, name)
    t.equal(inject(rulesOf(), pod).outcome, 'present', `${name}: where Pods may do without, that is their own matter`)
  }
  const pod = created(podOf(), strict)
  Object.assign((sidecarIn(pod).ports as object[])[0]!, { protocol: 'TCP' })
  Object.assign(sidecarIn(pod).startupProbe as object, { timeoutSeconds: 1, periodSeconds: 10, failureThreshold: 3 })
  Object.assign(sidecarIn(pod), { imagePullPolicy: 'IfNotPresent', resources: {}, terminationMessagePolicy: 'File' })
  t.strictSame(
    inject(strict, pod),
    { outcome: 'present', patch: [], warnings: [] },
    'what an API server adds is nobody’s',
  )
})

test('a sidecar does not make up for a Pod that is reached around it', async (t) => {
  for (const spec of [
    { hostNetwork: true },
    { containers: [{ name: 'a', ports: [{ hostPort: 1, containerPort: 1 }] }] },
  ]) {
    const pod = podOf({ ...spec, initContainers: [{ name: 'sallyport', args: ['sidecar'], restartPolicy: 'Always' }] })
    t.match(message(pod), /^hostNetwork|hostPort/)
  }
})

test('a container that mounts what is the sidecar’s is refused beside a sidecar of its own as well', async (t) => {
  for (const rules of [rulesOf(), rulesOf(TEMPLATE, false)]) {
    const pod = created(podOf(), rules)
    Object.assign(pod.spec.containers[0]!, { volumeMounts: [{ name: 'sallyport-data', mountPath: '/x' }] })
    t.match(message(pod, rules), /^container orders: volume sallyport-data is the sidecar's alone/)
  }
})

test('a Pod that has brought its sidecar is where NetworkPolicies find it', async (t) => {
  const own = {
    name: 'sallyport',
    args: ['sidecar'],
    restartPolicy: 'Always',
    env: [{ name: 'SIDECAR_PORT', value: '7000' }],
  }
  for (const labels of [undefined, { 'sallyport/injected': 'no' }]) {
    const pod = podOf({ initContainers: [own] }, { labels })
    const verdict = inject(rulesOf(), pod)
    t.equal(verdict.outcome, 'present')
    const after = patched(pod, 'patch' in verdict ? verdict.patch : []) as unknown as Result
    t.equal(after.metadata.labels['sallyport/injected'], '7000')
    t.match(inject(rulesOf(), after), { outcome: 'present', patch: [] })
  }
  const charted = podOf({ initContainers: [own] }, { labels: { 'sallyport/sidecar': 'orders' } })
  t.match(inject(rulesOf(), charted), { outcome: 'present', patch: [] }, 'a chart has a policy of its own')
})

test('a service that others reach is let in with a warning, or not at all, unless a policy guards it', async (t) => {
  const warning = { ...rulesOf(), whenExposed: 'warn' } as const
  const probed = {
    name: 'a',
    ports: [{ containerPort: 3000, name: 'web' }],
    readinessProbe: { httpGet: { port: 'web' } },
  }
  for (const [spec, says] of [
    [{}, /^container orders: port 3000 is declared: others reach the service/],
    [{ containers: [probed] }, /^container a: the kubelet asks at port 3000/],
  ] as const) {
    t.match(decide(warning, podOf(spec), 'elsewhere'), { outcome: 'injected', warnings: [says], isExposed: true })
    t.match(decide(rulesOf(), podOf(spec), 'elsewhere'), { outcome: 'refused', message: says })
    t.match(decide(warning, podOf(spec), 'shop'), { outcome: 'injected', warnings: [], isExposed: false })
  }
  const annotations = { 'sallyport/upstream-port': '3000' }
  for (const text of ['0.0.0.0', '--bind=0.0.0.0:3000', '::', 'http://[::]:3000']) {
    for (const told of [{ args: [text] }, { env: [{ name: 'OPTIONS', value: text }] }]) {
      const says = /^container a: it is told to listen on every address/
      const pod = podOf({ containers: [{ name: 'a', ...told }] }, { annotations })
      t.match(decide(rulesOf(), pod, 'elsewhere'), { outcome: 'refused', message: says }, text)
    }
  }
  for (const text of ['0.0.0.0/0', '0.0.0.0:9100', '10.0.0.0', 'My::Server', '127.0.0.1']) {
    const pod = podOf({ containers: [{ name: 'a', args: [text] }] }, { annotations })
    t.match(decide(rulesOf(), pod, 'elsewhere'), { outcome: 'injected' }, text)
  }
  const quiet = podOf({ containers: [{ name: 'a' }] }, { annotations })
  t.match(decide(rulesOf(), quiet, 'elsewhere'), { outcome: 'injected', isExposed: false })
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
