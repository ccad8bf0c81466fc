import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'tap'
import { prepareCharts } from '../charts/charts.ts'
import { COMMANDS, layOut } from '../docs/kubernetes.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { missingCluster } from '../servers/cluster-programs.ts'
import { openCluster } from './test-cluster.ts'

// The commands of docs/kubernetes.md on a real API server, in the order of the page.

const skip = await missingCluster()
const chartOf = skip ? undefined : await prepareCharts()
const cluster = skip ? undefined : await openCluster()
after(() => cluster?.stop())

/** Without a kubelet nothing runs in a container; and a release of the same name is there already. */
const NOT_HERE =
  /^kubectl .*(?:exec|run around|port-forward) |^helm (?:package|push) |-f openshift-|--set image\.repository/

test('what docs/kubernetes.md tells to do is taken', { skip }, async (t) => {
  const folder = temporaryFolder(t)
  await layOut(folder, chartOf!)
  const inFolder = (word: string) => {
    if (word.startsWith('charts/')) return chartOf!(word.slice('charts/'.length))
    if (word.endsWith('-values.yaml')) return join(folder, word)
    return word.replace(/^--from-file=(\w+)$/, (_all, key: string) => `--from-file=${key}=${join(folder, key)}`)
  }
  for (const key of ['MASTER_KEY', 'FEED_TOKEN', 'MONGO_URL', 'REDIS_URL'])
    writeFileSync(join(folder, key), 'a secret\n')
  let done = 0
  for (const { words, line } of COMMANDS) {
    const [program = '', ...args] = words
    const command = words.join(' ')
    if (NOT_HERE.test(command) || !/^(?:kubectl|helm)$/.test(program)) continue
    const given = args.map(inFolder)
    // The chart of the page itself; its release has the same name.
    const last = given.lastIndexOf('orders')
    if (program === 'helm' && last >= 0) given[last] = join(folder, 'orders')
    const run = () => (program === 'helm' ? cluster!.helm('helm4', given) : cluster!.ask(given))
    await t.resolves(run(), `line ${line}: ${command}`)
    done++
  }
  t.ok(done > 12, `${done} commands`)
  const pods = await cluster!.list('pods', 'shop', '-l', 'sallyport/sidecar=orders')
  t.ok(pods.length > 0, 'there are Pods with a sidecar')
})
