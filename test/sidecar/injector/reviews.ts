import type { AddOperation } from '../../../sidecar/injector/domain/json-patch.ts'

type Fields = Record<string, unknown>

/** A template as the charts render it, with all that can be in one. */
export const TEMPLATE = {
  container: {
    name: 'sallyport',
    image: 'sallyport:0.1.0',
    args: ['sidecar'],
    restartPolicy: 'Always',
    env: [
      { name: 'SIDECAR_HOST', value: '0.0.0.0' },
      { name: 'AUDIENCE', value: 'sallyport' },
      { name: 'ISSUER_URL', value: 'https://issuer.example' },
      { name: 'FEED_TOKEN', valueFrom: { secretKeyRef: { name: 'sallyport-feed', key: 'FEED_TOKEN' } } },
    ],
    ports: [
      { name: 'sallyport', containerPort: 8080 },
      { name: 'sallyport-admin', containerPort: 8081 },
    ],
    startupProbe: { httpGet: { path: '/readyz', port: 8081 } },
    livenessProbe: { httpGet: { path: '/livez', port: 'sallyport-admin' } },
    securityContext: { runAsUser: 1000, readOnlyRootFilesystem: true },
    volumeMounts: [{ name: 'sallyport-data', mountPath: '/data' }],
  },
  volumes: [{ name: 'sallyport-data', emptyDir: {} }],
  preStop: { sleep: { seconds: 5 } },
  terminationGracePeriodSeconds: 45,
  imagePullSecrets: [{ name: 'registry' }],
  labels: { 'app.kubernetes.io/part-of': 'sallyport' },
  annotations: { 'example.com/sidecar': 'yes' },
}

/** The same without `restartPolicy`: a container beside the service's. */
export function plainTemplate() {
  const { restartPolicy: _native, ...container } = TEMPLATE.container
  return { ...TEMPLATE, container }
}

/** A Pod of a Deployment, as an API server hands it to a webhook: without a name. */
export function podOf(
  spec: Fields = {},
  { labels, annotations }: { labels?: Fields | undefined; annotations?: Fields | undefined } = {},
) {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      generateName: 'orders-5d9c7b-',
      labels: { app: 'orders', ...labels },
      ...(annotations && { annotations }),
    },
    spec: { containers: [{ name: 'orders', image: 'orders:1', ports: [{ containerPort: 3000 }] }], ...spec },
  }
}

export function reviewOf(object: unknown, more: Fields = {}) {
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
      kind: { group: '', version: 'v1', kind: 'Pod' },
      resource: { group: '', version: 'v1', resource: 'pods' },
      namespace: 'shop',
      operation: 'CREATE',
      userInfo: { username: 'system:serviceaccount:kube-system:replicaset-controller' },
      object,
      oldObject: null,
      dryRun: false,
      options: { apiVersion: 'meta.k8s.io/v1', kind: 'CreateOptions' },
      ...more,
    },
  }
}

/** Applies a JSON Patch of additions (RFC 6902 section 4.1), as strictly as an API server does. */
export function patched<T>(document: T, patch: readonly AddOperation[]): T {
  const result = structuredClone(document)
  for (const { op, path, value } of patch) {
    if (op !== 'add') throw new Error(`no addition: ${op}`)
    const steps = path.split('/').slice(1)
    const last = unescaped(steps.pop()!)
    let place: unknown = result
    for (const step of steps) place = (place as Fields)[unescaped(step)]
    if (Array.isArray(place) && last === '-') place.push(structuredClone(value))
    else if (typeof place === 'object' && place !== null && !Array.isArray(place)) {
      Object.defineProperty(place, last, {
        value: structuredClone(value),
        writable: true,
        enumerable: true,
        configurable: true,
      })
    } else throw new Error(`${path} leads nowhere`)
  }
  return result
}

function unescaped(step: string): string {
  return step.replaceAll('~1', '/').replaceAll('~0', '~')
}
