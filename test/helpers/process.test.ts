import { join } from 'node:path'
import { test } from 'tap'
import { eventually } from './eventually.ts'
import { startNode } from './process.ts'

test('waits for a line of either stream, whenever it came', async (t) => {
  const script = `console.log('a 1'); console.error('b 2'); setInterval(() => {}, 1000)`
  const child = startNode(t, join(t.testdir({ 'x.mjs': script }), 'x.mjs'))
  t.equal((await child.waitForLine(/^b (\d)$/))[1], '2')
  t.equal((await child.waitForLine(/^a (\d)$/g))[1], '1')
  t.equal((await child.waitForLine(/^a (\d)$/g))[1], '1', 'a global pattern has no memory')
  await t.rejects(child.waitForLine(/never/, 50), /not within 50 ms.*a 1.*b 2/s)
  await child.kill('SIGTERM')
  t.same(await child.exited, { code: null, signal: 'SIGTERM' })
  await t.rejects(child.waitForLine(/never/), /ended \(SIGTERM\) first/)
  await child.kill()
})

test('a line is looked at when the whole of it has come, or no more will', async (t) => {
  const script = `process.stdout.write('port 12')
setTimeout(() => process.stdout.write('34\\nport 56'), 500)`
  const child = startNode(t, join(t.testdir({ 'x.mjs': script }), 'x.mjs'))
  t.equal((await child.waitForLine(/^port (\d+)/))[1], '1234')
  t.equal((await child.waitForLine(/^port (5\d+)/))[1], '56')
})

test('nothing of the test runner is in its environment', async (t) => {
  process.env.SALLYPORT_LEAK = '1'
  t.teardown(() => delete process.env.SALLYPORT_LEAK)
  const script = `console.log(Object.keys(process.env).sort().join()); process.exitCode = 3`
  const child = startNode(t, join(t.testdir({ 'x.mjs': script }), 'x.mjs'), { env: { OWN: 'x' } })
  t.same(await child.waitForExit(), { code: 3, signal: null })
  for (const name of child.stdout().trim().split(',')) {
    t.ok(['HOME', 'NODE_COMPILE_CACHE', 'OWN', 'PATH', 'TMPDIR'].includes(name), name)
  }
})

test('ends with its test', async (t) => {
  let pid = 0
  await t.test('which forgets it', async (t) => {
    pid = startNode(t, join(t.testdir({ 'x.mjs': 'setInterval(() => {}, 1000)' }), 'x.mjs')).pid
  })
  t.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
})

test('eventually: gives the first truthy value, or says what came last', async (t) => {
  let calls = 0
  t.equal(await eventually(() => ++calls >= 3 && `call ${calls}`, { every: 1 }), 'call 3')
  await t.rejects(
    eventually(() => 0, { within: 10, every: 1, message: 'the count' }),
    /the count: not within 10 ms; the last attempt gave 0/,
  )
  const cause = new Error('no such thing')
  const failing = eventually(() => Promise.reject(cause), { within: 10, every: 1 })
  await t.rejects(failing, { message: /threw Error: no such thing/, cause })
})
