import { test } from 'tap'
import { createLog } from '../../shared/log.ts'

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

test('secrets that are logged by mistake are not shown', async (t) => {
  const { log, written } = lines()
  log.info({ authorization: 'Bearer x.y.z', request: { headers: { cookie: 'x.y.z' } }, user: { email: 'x.y.z' } }, 'm')
  t.notMatch(written.join(), /x\.y\.z/)
})
