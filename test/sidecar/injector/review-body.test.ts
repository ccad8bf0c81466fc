import { Readable } from 'node:stream'
import { test } from 'tap'
import { createReadBody } from '../../../sidecar/injector/review-body.ts'

const MB = 1024 * 1024

/** A body that never ends, and has been read when it asks for more than it was given. */
function held(bytes: number): { body: Readable; read: Promise<void> } {
  let wanted: () => void
  const read = new Promise<void>((resolve) => {
    wanted = resolve
  })
  let left = bytes
  const body = new Readable({
    highWaterMark: MB,
    read() {
      if (left <= 0) return wanted()
      const size = Math.min(left, MB)
      left -= size
      this.push(Buffer.alloc(size, 0x20))
    },
  })
  return { body, read }
}

const problemOf = (reading: Promise<unknown>) => reading.catch((error: unknown) => error)

test('a body is parsed', async (t) => {
  t.same(await createReadBody()(Readable.from([Buffer.from('{"a":'), Buffer.from('[1]}')])), { a: [1] })
})

test('what is no JSON, too large or too much to parse is refused', async (t) => {
  const read = createReadBody()
  t.match(await problemOf(read(Readable.from([Buffer.from('{')]))), { statusCode: 400, message: /not JSON/ })
  t.match(await problemOf(read(Readable.from([Buffer.alloc(20 * MB + 1, 0x20)]))), { statusCode: 413 })
  const many = Buffer.from(`[${'{},'.repeat(200_000)}{}]`)
  t.match(await problemOf(read(Readable.from([many]))), { statusCode: 400, message: /more values/ })
})

test('of what is too much it is known which review it was', async (t) => {
  const uid = '705ab4f5-6393-11e8-b7cc-42010a800002'
  const head = `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"${uid}",`
  const commas = Buffer.from(`${head}"object":"${','.repeat(400_000)}"}}`)
  t.match(await problemOf(createReadBody()(Readable.from([commas]))), { uid, message: /more values/ })
  const large = [Buffer.from(head), Buffer.alloc(20 * MB, 0x20)]
  t.match(await problemOf(createReadBody()(Readable.from(large))), { uid, statusCode: 413 })
})

test('a body that does not arrive is nobody’s fault', async (t) => {
  const { body, read } = held(1)
  const reading = problemOf(createReadBody()(body))
  await read
  body.destroy(new Error('aborted'))
  t.match(await reading, { statusCode: 400, message: 'the body did not arrive' })
})

test('bodies that are received at the same time share what there is, and give it back', async (t) => {
  const read = createReadBody()
  const bodies = [19, 19, 19].map((size) => held(size * MB))
  const reading = bodies.map(({ body }) => read(body).catch(() => 'ended'))
  await Promise.all(bodies.map((one) => one.read))
  t.match(await problemOf(read(Readable.from([Buffer.alloc(8 * MB, 0x20)]))), { statusCode: 503 })
  t.equal(await read(Readable.from([Buffer.from('1')])), 1, 'a small one still has room')
  for (const { body } of bodies) body.destroy(new Error('gone'))
  t.same(await Promise.all(reading), ['ended', 'ended', 'ended'])
  t.match(await problemOf(read(Readable.from([Buffer.alloc(8 * MB, 0x20)]))), { statusCode: 400 })
})
