import type { Test } from 'tap'
import { eventually } from '../helpers/eventually.ts'
import { everything, type Setup, settled, valuesFile, WAIT } from './release.ts'
import type { LiveObject } from './test-cluster.ts'

// What a release can meet with beside its usual life.

export async function failedMigration(t: Test, { cluster, generation, folder }: Setup): Promise<void> {
  const namespace = await cluster.namespace('migration')
  const given = ['-n', namespace, '-f', valuesFile('issuer', 'production')]
  await cluster.helm(generation, ['install', 'sallyport', folder, ...given, ...WAIT])
  const before = await settled(cluster, namespace, 'sallyport-issuer')
  // A Pod that no node takes: the Job's time is over before it has run.
  const never = ['--set', 'nodeSelector.no-node=has-it', '--set', 'migration.activeDeadlineSeconds=2']
  await t.rejects(
    cluster.helm(generation, ['upgrade', 'sallyport', folder, ...given, ...never, ...WAIT]),
    /pre-upgrade hooks? failed.*(DeadlineExceeded|Job Failed)/s,
  )
  const [job] = (await cluster.list('job', namespace, 'sallyport-issuer-migrate')) as [LiveObject]
  t.match(job.status.conditions, [{ type: 'FailureTarget' }, { type: 'Failed', reason: 'DeadlineExceeded' }])
  t.equal(await settled(cluster, namespace, 'sallyport-issuer'), before, 'the same Pods')
  await cluster.helm(generation, ['upgrade', 'sallyport', folder, ...given, ...WAIT])
  t.equal(await settled(cluster, namespace, 'sallyport-issuer'), before, 'and the next upgrade works')
  await cluster.helm(generation, ['uninstall', 'sallyport', '-n', namespace, ...WAIT])
  await cluster.ask(['delete', TOPIC, '-n', 'kafka'])
}

/** The KafkaTopic of the production values, as everything() has it. */
export const TOPIC = 'kafkatopic.kafka.strimzi.io/sallyport-issuer-revocations'

export async function keptTopic(t: Test, { cluster, generation, folder }: Setup): Promise<void> {
  const namespace = await cluster.namespace('topic')
  const given = ['-n', namespace, '-f', valuesFile('issuer', 'production'), ...WAIT]
  const topics = async () => (await everything(cluster, 'kafka')).filter((name) => name === TOPIC)
  const turnedOff = ['--set', 'kafka.strimziTopic.enabled=false']
  await cluster.helm(generation, ['install', 'sallyport', folder, ...given])
  await cluster.helm(generation, ['upgrade', 'sallyport', folder, ...given, ...turnedOff])
  t.same(await topics(), [TOPIC], 'turned off')
  await cluster.helm(generation, ['uninstall', 'sallyport', '-n', namespace, ...WAIT])
  t.same(await topics(), [TOPIC], 'uninstalled')
  await cluster.helm(generation, ['install', 'sallyport', folder, ...given, '--set', 'kafka.strimziTopic.keep=false'])
  await cluster.helm(generation, ['uninstall', 'sallyport', '-n', namespace, ...WAIT])
  t.same(await topics(), [], 'without keep it goes as well')
}

/** Nothing runs in the Pod: the test says how it ended, as a kubelet would. What it does is tested beside a real sidecar. */
export async function helmTest(t: Test, { cluster, generation, folder }: Setup): Promise<void> {
  const namespace = await cluster.namespace('helm-test')
  const given = ['-n', namespace, '-f', valuesFile('example', 'minimal')]
  await cluster.helm(generation, ['install', 'sallyport', folder, ...given, ...WAIT])
  const pod = 'sallyport-example-guarded'
  const endWith = async (phase: string): Promise<void> => {
    await eventually(async () => (await cluster.list('pods', namespace, pod))[0]?.status.phase === 'Running', {
      within: 60_000,
      every: 200,
      message: 'the Pod of the test',
    })
    const status = JSON.stringify({ status: { phase } })
    await cluster.ask(['patch', 'pod', pod, '-n', namespace, '--subresource=status', '--type=merge', '-p', status])
  }
  const runTest = (phase: string) =>
    Promise.allSettled([
      cluster.helm(generation, ['test', 'sallyport', '-n', namespace, '--timeout', '60s']),
      endWith(phase),
    ])
  const [good] = await runTest('Succeeded')
  t.match(good, { status: 'fulfilled', value: /Phase:\s+Succeeded/ })
  const left = () => everything(cluster, namespace).then((all) => all.filter((name) => /guarded|-pods$/.test(name)))
  t.same(await left(), [], 'nothing of it is left')
  const [bad] = await runTest('Failed')
  t.match(bad, { status: 'rejected', reason: { message: /sallyport-example-guarded failed/ } })
  t.ok((await left()).includes(`pod/${pod}`), 'its Pod stays, for its log')
  await cluster.helm(generation, ['uninstall', 'sallyport', '-n', namespace, ...WAIT])
}

export async function certificates(t: Test, { cluster, generation, folder }: Setup): Promise<void> {
  const namespace = await cluster.namespace('certificates')
  const given = ['-n', namespace, '-f', valuesFile('injector', 'minimal'), ...WAIT]
  const name = 'sallyport-injector'
  const read = async () => {
    const secret = async (which: string) =>
      (await cluster.list('secret', namespace, `${name}-${which}`))[0]?.data?.['tls.crt']
    const path = 'jsonpath={.webhooks[*].clientConfig.caBundle}'
    const bundles = (await cluster.ask(['get', 'mutatingwebhookconfiguration', name, '-o', path])).split(' ')
    t.equal(new Set(bundles).size, 1)
    return { authority: await secret('ca'), certificate: await secret('tls'), bundle: bundles[0] }
  }
  const upgrade = async (...more: string[]) => {
    await cluster.helm(generation, ['upgrade', 'sallyport', folder, ...given, ...more])
    return read()
  }
  await cluster.helm(generation, ['install', 'sallyport', folder, ...given])
  const first = await read()
  t.equal(first.bundle, first.authority)
  t.same(await upgrade(), first, 'an upgrade keeps all of it')

  const due = 'sallyport/renew-after=1000000000'
  await cluster.ask(['annotate', 'secret', `${name}-tls`, '-n', namespace, '--overwrite', due])
  // Helm 4 does not write over what another has written.
  const renewed = await upgrade(...(generation === 'helm4' ? ['--force-conflicts'] : []))
  t.same({ ...renewed, certificate: '' }, { ...first, certificate: '' }, 'the authority stays')
  t.not(renewed.certificate, first.certificate)

  const other = await upgrade('--set', 'tls.generated.generation=2')
  t.not(other.authority, first.authority)
  const text = (base64 = '') => Buffer.from(base64, 'base64').toString()
  t.equal(text(other.bundle), text(other.authority) + text(first.authority), 'both are trusted')
  const last = await upgrade('--set', 'tls.generated.generation=2')
  t.same(last, { ...other, bundle: other.authority }, 'and after the next upgrade the new one only')
  await cluster.helm(generation, ['uninstall', 'sallyport', '-n', namespace, ...WAIT])
}
