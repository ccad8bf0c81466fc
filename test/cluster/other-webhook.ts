import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import type { TestCluster } from './test-cluster.ts'

/**
 * Another webhook, that is asked after the injector and changes Pods: it adds an environment variable. The API server
 * then asks the injector again.
 */
export async function startOtherWebhook(t: Test, { authority, apply, ask }: TestCluster): Promise<void> {
  const { cert, key } = await authority.issue('other-webhook')
  const server = createServer({ cert, key }, (request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => {
      const { uid } = JSON.parse(body).request
      const patch = [{ op: 'add', path: '/spec/containers/0/env', value: [{ name: 'TRACED', value: 'yes' }] }]
      const answer = { uid, allowed: true, patchType: 'JSONPatch', patch: btoa(JSON.stringify(patch)) }
      const review = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: answer }
      response.setHeader('content-type', 'application/json').end(JSON.stringify(review))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void server.close().closeAllConnections())
  const { port } = server.address() as AddressInfo
  const name = 'zz-other'
  const webhook = {
    name: 'other.example.com',
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    clientConfig: { url: `https://127.0.0.1:${port}/`, caBundle: btoa(authority.ca) },
    rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }],
    objectSelector: { matchLabels: { traced: 'yes' } },
  }
  await apply([
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: { name },
      webhooks: [webhook],
    },
  ])
  t.teardown(async () => void (await ask(['delete', 'mutatingwebhookconfiguration', name])))
}
