import { setImmediate } from 'node:timers/promises'
import { test } from 'tap'
import { createLifecycle, pause, withDeadline } from '../../shared/lifecycle.ts'
import { createLog } from '../../shared/log.ts'

function setUp(deadlineMs?: number) {
  const lines: string[] = []
  const log = createLog('test', 'debug', { write: (line: string) => void lines.push(line) })
  const ended: string[] = []
  const lifecycle = createLifecycle(log, deadlineMs)
  const part = (name: string) => lifecycle.onClose(name, () => void ended.push(name))
  return { lifecycle, part, ended, lines }
}

test('ends the last started first, one after the other', async (t) => {
  const { lifecycle, part, ended } = setUp()
  part('store')
  lifecycle.onClose('server', async () => {
    await pause(5)
    ended.push('server')
  })
  part('feed')
  await lifecycle.close()
  t.same(ended, ['feed', 'server', 'store'])
})

test('ends once, however often it is asked', async (t) => {
  const { lifecycle, part, ended } = setUp()
  part('a')
  lifecycle.signal.addEventListener('abort', () => void lifecycle.close())
  await Promise.all([lifecycle.close(), lifecycle.close()])
  await lifecycle.close()
  t.same(ended, ['a'])
})

test('says at once that the end begins', async (t) => {
  const { lifecycle } = setUp()
  t.equal(lifecycle.signal.aborted, false)
  const closed = lifecycle.close()
  t.equal(lifecycle.signal.aborted, true)
  await closed
})

test('a part that fails to end, or takes too long, does not keep the others', async (t) => {
  const { lifecycle, part, ended, lines } = setUp(20)
  part('first')
  lifecycle.onClose('throws', () => {
    throw new Error('no')
  })
  lifecycle.onClose('rejects', async () => {
    throw new Error('never')
  })
  lifecycle.onClose('hangs', () => new Promise(() => {}))
  part('last')
  await lifecycle.close()
  t.same(ended, ['last', 'first'])
  t.same(
    lines.map((line) => JSON.parse(line).part),
    ['hangs', 'rejects', 'throws'],
  )
})

test('what is started while the end is under way, or after it, is ended too', async (t) => {
  const { lifecycle, part, ended } = setUp()
  part('first')
  lifecycle.onClose('second', () => part('started by the end'))
  await lifecycle.close()
  t.same(ended, ['started by the end', 'first'])
  part('too late')
  await lifecycle.close()
  t.same(ended, ['started by the end', 'first', 'too late'])
})

test('a deadline that is met gives the value, one that is missed an error', async (t) => {
  t.equal(await withDeadline(Promise.resolve(1), 1000), 1)
  await t.rejects(withDeadline(Promise.reject(new Error('own')), 1000), /own/)
  await t.rejects(withDeadline(new Promise(() => {}), 5), /not done within 5 ms/)
})

test('a pause that is over before it begins is no warning of the process', async (t) => {
  const warnings: string[] = []
  const onWarning = ({ name }: Error) => void warnings.push(name)
  process.on('warning', onWarning)
  t.teardown(() => process.off('warning', onWarning))
  await pause(-100)
  await setImmediate()
  t.same(warnings, [])
})

test('a pause is never shorter than asked for: who waited for it may rely on what has become of it meanwhile', async (t) => {
  const measured = async () => {
    const begin = performance.now()
    await pause(10)
    return performance.now() - begin
  }
  let shortest = Number.POSITIVE_INFINITY
  for (let round = 0; round < 10; round++) {
    for (const ms of await Promise.all(Array.from({ length: 200 }, measured))) shortest = Math.min(shortest, ms)
  }
  t.ok(shortest >= 10, `${shortest} ms`)
})

test('a pause ends with its time or with the signal, and never throws', async (t) => {
  const abort = new AbortController()
  const begin = performance.now()
  await pause(5)
  t.ok(performance.now() - begin >= 5)
  const long = pause(60_000, abort.signal)
  abort.abort()
  await long
  await pause(60_000, abort.signal)
  t.ok(performance.now() - begin < 50_000)
})
