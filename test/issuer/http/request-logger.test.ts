import { test } from 'tap'
import { createRequestLogger } from '../../../issuer/http/request-logger.ts'
import { createLog } from '../../../shared/log.ts'

function build() {
  const lines: { level: number; msg: string; reqId: string }[] = []
  const log = createLog('test', 'trace', { write: (line) => void lines.push(JSON.parse(line)) })
  let made = 0
  const request = createRequestLogger(() => {
    made++
    return log.child({ reqId: 'r1' })
  })
  return { request, lines, made: () => made }
}

test('it is made once, when something is written to it', async (t) => {
  const { request, lines, made } = build()
  t.equal(made(), 0)
  request.info({ reason: 'x' }, 'first')
  request.error('second')
  t.equal(made(), 1)
  t.match(lines, [
    { reqId: 'r1', reason: 'x', msg: 'first' },
    { reqId: 'r1', msg: 'second' },
  ])
})

test('each level is its own, and children are those of the request', async (t) => {
  const { request, lines } = build()
  for (const level of ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const) request[level](level)
  request.silent('nothing')
  request.child({ part: 'p' }).warn('child')
  t.same(
    lines.map(({ level, msg }) => [level, msg]),
    [
      [60, 'fatal'],
      [50, 'error'],
      [40, 'warn'],
      [30, 'info'],
      [20, 'debug'],
      [10, 'trace'],
      [40, 'child'],
    ],
  )
  t.match(lines.at(-1), { reqId: 'r1', part: 'p' })
  t.equal(request.level, 'trace')
})
