import { once } from 'node:events'
import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { test } from 'tap'
import { makeFolder } from '../../shared/make-folder.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const modeOf = (path: string) => statSync(path).mode & 0o777

test('a folder and those above it are made, for their owner alone', async (t) => {
  const root = temporaryFolder(t)
  makeFolder(join(root, 'a/b/c'))
  for (const path of ['a', 'a/b', 'a/b/c']) t.equal(modeOf(join(root, path)), 0o700, path)
  makeFolder(`${join(root, 'a/d')}/`)
  t.equal(modeOf(join(root, 'a/d')), 0o700)
})

test('a folder that is there stays as it is', async (t) => {
  const root = temporaryFolder(t)
  const there = join(root, 'there')
  mkdirSync(there, { mode: 0o755 })
  writeFileSync(join(there, 'file'), 'kept')
  symlinkSync(there, join(root, 'link'))
  for (const path of [there, join(root, 'link'), '/', '.']) makeFolder(path)
  makeFolder(join(root, 'link/inside'))
  t.equal(modeOf(there), 0o755)
  t.equal(readFileSync(join(there, 'file'), 'utf8'), 'kept')
  t.equal(modeOf(join(there, 'inside')), 0o700)
})

test('two that make folders below the same one, which is not there yet, both succeed', async (t) => {
  const rounds = 300
  const workerData = {
    root: temporaryFolder(t),
    module: new URL('../../shared/make-folder.ts', import.meta.url).href,
    rounds,
    arrived: new Int32Array(new SharedArrayBuffer(4 * rounds)),
  }
  const program = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { name, root, module, rounds, arrived } = workerData
    import(module).then(({ makeFolder }) => {
      const problems = []
      for (let round = 0; round < rounds; round++) {
        Atomics.add(arrived, round, 1)
        while (Atomics.load(arrived, round) < 2);
        try {
          makeFolder(root + '/' + round + '/a/b/' + name)
        } catch (error) {
          problems.push(error.message)
        }
      }
      parentPort.postMessage(problems)
    })`
  const workers = ['one', 'other'].map(
    (name) => new Worker(program, { eval: true, workerData: { ...workerData, name } }),
  )
  t.teardown(() => Promise.all(workers.map((worker) => worker.terminate())))
  const problems = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0]))
  t.same(problems, [[], []])
})

test('what cannot be made is an error that names it, and never a wait without end', async (t) => {
  const root = temporaryFolder(t)
  writeFileSync(join(root, 'file'), '')
  symlinkSync(join(root, 'nowhere'), join(root, 'link'))
  for (const [path, code] of [
    ['file', 'EEXIST'],
    ['file/below', 'ENOTDIR'],
    ['file/below/below', 'ENOTDIR'],
    ['link', 'EEXIST'],
  ] as const) {
    t.throws(() => makeFolder(join(root, path)), { code, path: join(root, path) }, path)
  }
  // Here Node's own way would never return.
  t.throws(() => makeFolder(join(root, 'link/below')), { code: 'EEXIST', path: join(root, 'link') })
  if (process.platform === 'linux') t.throws(() => makeFolder('/proc/none/below'), { code: /^E/, path: '/proc/none' })
})
