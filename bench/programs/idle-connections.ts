import { connect } from 'node:net'

// Opens connections, sends one request over each and then nothing more; prints `open` when all are answered, and
// `ended N` when the other side has ended as many. It stays until it is killed.

export interface IdleConnections {
  url: string
  token: string
  count: number
}

/** Connections that are made at the same time: a listener's queue is short. */
const AT_ONCE = 64

const { url, token, count } = JSON.parse(process.argv[2]!) as IdleConnections
const { hostname, port, host } = new URL(url)
const head = `GET /bytes/100 HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${token}\r\n\r\n`
let begun = 0
let ended = 0

await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    while (begun < count) {
      begun++
      await openOne()
    }
  }),
)
process.stdout.write('open\n')

function openOne(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(head))
    socket.once('data', (chunk) => {
      if (chunk.toString('latin1').startsWith('HTTP/1.1 200')) resolve()
      else reject(new Error(chunk.toString('latin1').slice(0, 40)))
    })
    socket.on('error', reject)
    socket.on('close', () => process.stdout.write(`ended ${++ended}\n`))
  })
}
