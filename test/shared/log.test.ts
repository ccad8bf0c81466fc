import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'tap'
import { createLog, expected } from '../../shared/log.ts'
import { startNode } from '../helpers/process.ts'

function lines() {
  const written: string[] = []
  const log = createLog('test', 'info', { write: (line: string) => void written.push(line) })
  return { log, written }
}

test('of an error only what it is and where it comes from is logged, not what it was about', async (t) => {
  const { log, written } = lines()
  const cause = Object.assign(new Error('the cause'), { body: 'ada@example.com' })
  const err = Object.assign(new TypeError('it failed', { cause }), {
    code: 'HPE_INVALID',
    data: 'Set-Cookie: refresh=ada@example.com',
    command: { args: ['ada@example.com'] },
    inner: Object.assign(new Error('inner'), { document: 'ada@example.com' }),
  })
  log.warn({ err }, 'one')
  log.warn({ err: new AggregateError([err, new Error('other')], 'all failed') }, 'many')
  log.warn({ err: { secret: 'ada@example.com' } }, 'no error')
  log.warn({ err: 'thrown text' }, 'a text')
  t.notMatch(written.join(), /ada@example\.com/)
  const [one, many, , text] = written.map((line) => JSON.parse(line))
  t.match(one.err, { type: 'TypeError', message: 'it failed: the cause', code: 'HPE_INVALID', stack: /log\.test/ })
  t.match(many.err.aggregateErrors, [{ code: 'HPE_INVALID' }, { message: 'other' }])
  t.match(text.err, { message: 'thrown text' })
})

test('a failure that was expected is one line without a stack; a mistake keeps its own', async (t) => {
  const { log, written } = lines()
  const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), { code: 'ECONNREFUSED' })
  const away = Object.assign(new Error('the store is not available', { cause: refused }), { name: 'StoreUnavailable' })
  const both = Object.assign(new AggregateError([refused, refused], ''), { code: 'ECONNREFUSED' })
  const fetched = new TypeError('fetch failed', { cause: refused })
  const expectedOnes: [error: unknown, shown: object][] = [
    [refused, { type: 'Error', message: 'connect ECONNREFUSED 127.0.0.1:1', code: 'ECONNREFUSED' }],
    [
      away,
      {
        type: 'Error',
        message: 'the store is not available: connect ECONNREFUSED 127.0.0.1:1',
        code: 'ECONNREFUSED',
      },
    ],
    [new Error('the issuer answered 503'), { type: 'Error', message: 'the issuer answered 503' }],
    [fetched, { type: 'TypeError', message: 'fetch failed: connect ECONNREFUSED 127.0.0.1:1', code: 'ECONNREFUSED' }],
    [both, { code: 'ECONNREFUSED', aggregateErrors: [{ code: 'ECONNREFUSED' }, { code: 'ECONNREFUSED' }] }],
    ['a text', { message: 'a text' }],
  ]
  for (const [error] of expectedOnes) log.warn({ err: expected(error) }, 'expected')
  for (const [index, [, shown]] of expectedOnes.entries()) {
    t.match(JSON.parse(written[index]!).err, shown)
    t.notMatch(written[index], /"stack"|\.ts:/)
  }
  written.length = 0
  const wrong = Object.assign(new Error('no such column'), { code: 'ERR_SQLITE_ERROR' })
  const driver = Object.assign(new Error('unknown operator'), { name: 'MongoServerError', code: 2 })
  for (const error of [
    new TypeError('x is not a function'),
    new RangeError('x'),
    new ReferenceError('x'),
    wrong,
    driver,
  ]) {
    log.warn({ err: expected(error) }, 'expected, but a mistake')
  }
  for (const line of written) t.match(JSON.parse(line).err, { stack: /log\.test/ })
})

test('secrets that are logged by mistake are not shown', async (t) => {
  const { log, written } = lines()
  log.info({ authorization: 'Bearer x.y.z', request: { headers: { cookie: 'x.y.z' } }, user: { email: 'x.y.z' } }, 'm')
  t.notMatch(written.join(), /x\.y\.z/)
})

test('what was logged is written, however the process ends', async (t) => {
  const log = new URL('../../shared/log.ts', import.meta.url).href
  const long = 'x'.repeat(20_000)
  for (const [end, code] of [
    ['', 0],
    ['process.exit(3)', 3],
    ['throw new Error("an end")', 1],
    ['setImmediate(() => setImmediate(() => process.exit(4)))', 4],
  ] as const) {
    const file = join(t.testdir(), 'program.mjs')
    writeFileSync(
      file,
      `import { createLog } from '${log}'
      const log = createLog('test', 'info')
      log.info('first')
      log.info({ long: '${long}' }, 'second')
      log.info('third')
      ${end}`,
    )
    const program = startNode(t, file)
    t.equal((await program.waitForExit()).code, code)
    const lines = program.stdout().trimEnd().split('\n')
    t.same(
      lines.map((line) => JSON.parse(line).msg),
      ['first', 'second', 'third'],
      end,
    )
  }
})

test('a log that nobody takes any more, or that has no room, holds nothing up', async (t) => {
  const file = join(t.testdir(), 'logs.ts')
  const url = new URL('../../shared/log.ts', import.meta.url)
  writeFileSync(
    file,
    `import { setImmediate as nextTurn } from 'node:timers/promises'
    import { createLog } from ${JSON.stringify(url.href)}
    const log = createLog('test', 'info')
    for await (const _ of process.stdin);
    for (let i = 0; i < 3; i++) {
      log.info({ fill: 'x'.repeat(i * 20_000) }, 'a line')
      await nextTurn()
      await nextTurn()
    }
    process.exit(5)`,
  )
  const run = async (stdout: 'pipe' | number) => {
    const program = spawn(process.execPath, [file], { stdio: ['pipe', stdout, 'pipe'] })
    t.teardown(() => program.kill('SIGKILL'))
    program.stdout?.destroy()
    program.stdin!.end()
    const said = text(program.stderr!)
    const [code] = await once(program, 'exit')
    return { code, said: await said }
  }
  const closed = await run('pipe')
  t.equal(closed.code, 5, 'whoever read it has gone')
  t.equal(closed.said, 'the log cannot be written (EPIPE); lines are lost\n')
  if (!existsSync('/dev/full')) return
  const full = openSync('/dev/full', 'w')
  t.teardown(() => closeSync(full))
  const { code, said } = await run(full)
  t.equal(code, 5, 'the disk is full')
  t.equal(said, 'the log cannot be written (ENOSPC); lines are lost\n', 'said once')
})
