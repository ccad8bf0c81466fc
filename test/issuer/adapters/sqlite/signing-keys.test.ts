import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { openSqliteStore } from '../../../../issuer/adapters/sqlite/store.ts'
import { systemClock } from '../../../../shared/clock.ts'
import { startNode } from '../../../helpers/process.ts'
import { temporaryFolder } from '../../../helpers/temporary-folder.ts'

const ROTATOR = fileURLToPath(new URL('../../../helpers/key-rotator.ts', import.meta.url))
const [PROCESSES, TIMES] = [4, 7]

test('processes on one file rotate its keys at once: one after the other, each from where the one before came to', async (t) => {
  const folder = temporaryFolder(t)
  const rotators = Array.from({ length: PROCESSES }, () => startNode(t, ROTATOR, { args: [folder, String(TIMES)] }))
  for (const rotator of rotators) t.same(await rotator.exited, { code: 0, signal: null }, rotator.stderr())
  const steps = rotators.flatMap((rotator) => [...rotator.stdout().matchAll(/^rotated (\S+) (\S+)$/gm)])
  const successor = new Map(steps.map(([, previous, kid]) => [previous!, kid!]))
  t.equal(steps.length, PROCESSES * TIMES)
  t.equal(successor.size, steps.length, 'no key has two successors')

  const store = openSqliteStore(folder, systemClock, (error) => t.fail(String(error)))
  t.teardown(store.close)
  const keys = await store.ports.signingKeys.all()
  const current = keys.filter(({ state }) => state === 'current')
  t.equal(current.length, 1)
  t.equal(keys.filter(({ state }) => state === 'next').length, 1)
  t.equal(keys.filter(({ state }) => state === 'retired').length, steps.length)
  let [kid, length] = [[...successor.keys()].find((one) => ![...successor.values()].includes(one))!, 0]
  for (; successor.has(kid); kid = successor.get(kid)!) length++
  t.equal(length, steps.length, 'one line from the first key')
  t.equal(kid, current[0]?.kid, 'to the current one')
})
