import { once } from 'node:events'
import fc from 'fast-check'
import { test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { closeFrame, FrameBoundary } from '../../../sidecar/proxy/websocket-frames.ts'

/** A frame with a payload of this length, as RFC 6455 section 5.2 draws it. */
function frame(length: number, masked: boolean): Buffer {
  const head =
    length < 126
      ? Buffer.from([0x82, length])
      : length < 65_536
        ? Buffer.from([0x82, 126, length >> 8, length & 0xff])
        : Buffer.from([0x82, 127, 0, 0, 0, 0, 0, length >> 16, (length >> 8) & 0xff, length & 0xff])
  if (masked) head[1]! |= 0x80
  return Buffer.concat([head, Buffer.alloc(masked ? 4 : 0, 7), Buffer.alloc(length, 0x88)])
}

test('the boundary is found however the bytes are cut', async (t) => {
  const lengths = fc.oneof(fc.integer({ min: 0, max: 130 }), fc.constantFrom(125, 126, 127, 65_535, 65_536, 70_000))
  fc.assert(
    fc.property(
      fc.array(fc.tuple(lengths, fc.boolean()), { minLength: 1, maxLength: 5 }),
      fc.array(fc.nat(300), { maxLength: 10 }),
      fc.nat(20),
      (frames, cuts, part) => {
        const stream = Buffer.concat(frames.map(([length, masked]) => frame(length, masked)))
        const boundary = new FrameBoundary()
        let at = 0
        for (const cut of cuts) {
          boundary.read(stream.subarray(at, at + cut))
          at = Math.min(stream.length, at + cut)
        }
        boundary.read(stream.subarray(at))
        const last = frame(40, true)
        const taken = Math.min(part, last.length)
        const between = boundary.reached
        boundary.read(last.subarray(0, taken))
        const inside = boundary.reached === (taken === 0)
        const rest = Buffer.concat([last.subarray(taken), frame(3, false)])
        return (
          between && inside && boundary.readFrame(rest) === (taken === 0 ? 0 : last.length - taken) && boundary.reached
        )
      },
    ),
  )
  t.pass()
})

test('a Close frame is read by both sides', async (t) => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  t.teardown(() => server.close())
  await once(server, 'listening')
  const closed = new Promise<[number, string]>((resolve) => {
    server.on('connection', (socket, request) => {
      socket.on('close', (code, reason) => resolve([code, String(reason)]))
      request.socket.write(closeFrame(4401, 'token revoked', false))
    })
  })
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as { port: number }).port}`)
  const seen = await new Promise<[number, string]>((resolve) => {
    client.on('close', (code, reason) => resolve([code, String(reason)]))
  })
  t.same(seen, [4401, 'token revoked'])
  t.same(await closed, [4401, 'token revoked'])
  const masked = closeFrame(1001, 'x', true)
  t.equal(masked[1]! & 0x80, 0x80)
  const payload = masked.subarray(6).map((byte, i) => byte ^ masked[2 + (i % 4)]!)
  t.same([...payload], [0x03, 0xe9, 0x78])
})
