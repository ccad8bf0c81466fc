import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Test, test } from 'tap'
import { startNode } from '../helpers/process.ts'
import { cached } from './cache.ts'

function useFolder(t: Test): string {
  const before = process.env.SALLYPORT_TEST_CACHE
  const folder = t.testdir()
  process.env.SALLYPORT_TEST_CACHE = folder
  t.teardown(() => {
    if (before === undefined) delete process.env.SALLYPORT_TEST_CACHE
    else process.env.SALLYPORT_TEST_CACHE = before
  })
  return folder
}

test('of many that want an entry at once one fills it, and all get the filled one', async (t) => {
  const folder = useFolder(t)
  let fills = 0
  const fill = async (into: string): Promise<void> => {
    fills++
    t.notOk(existsSync(join(folder, 'thing-1')), 'nothing is there before it is complete')
    await sleep(20)
    writeFileSync(join(into, 'file'), 'content')
  }
  const entries = await Promise.all(Array.from({ length: 5 }, () => cached('thing-1', 'a thing', fill)))
  t.equal(fills, 1)
  for (const entry of entries) t.equal(readFileSync(join(entry, 'file'), 'utf8'), 'content')
  await cached('thing-1', 'a thing', fill)
  t.equal(fills, 1, 'and nobody ever again')
})

test('a fill that fails leaves nothing, and the next one can succeed', async (t) => {
  const folder = useFolder(t)
  const failing = cached('thing-1', 'a thing', async (into) => {
    writeFileSync(join(into, 'half'), '')
    throw new Error('the line broke')
  })
  await t.rejects(failing, { message: 'the line broke' })
  t.same(readdirSync(folder), [])
  t.ok(existsSync(await cached('thing-1', 'a thing', async () => {})))
})

test('the lock of a process that was killed while it filled is taken over', async (t) => {
  const folder = useFolder(t)
  const script = `
    import { cached } from '${import.meta.resolve('./cache.ts')}'
    await cached('thing-1', 'a thing', () => { console.log('filling'); return new Promise(() => setInterval(() => {}, 1000)) })`
  const file = join(t.testdir({ 'fill.mjs': script, cache: {} }), 'fill.mjs')
  process.env.SALLYPORT_TEST_CACHE = join(folder, 'cache')
  const child = startNode(t, file, { env: { SALLYPORT_TEST_CACHE: process.env.SALLYPORT_TEST_CACHE } })
  await child.waitForLine(/filling/)
  await child.kill()
  t.ok(existsSync(await cached('thing-1', 'a thing', async () => {})))
})
