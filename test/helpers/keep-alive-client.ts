import { connect } from 'node:net'

/** What became of one request. `unanswered`: not one byte of an answer; `cut`: not all of it. */
interface KeptRequest {
  target: string
  outcome: 'answered' | 'unanswered' | 'cut' | 'refused'
  status: number
}

export interface KeptConnection {
  requests: KeptRequest[]
  /** Whether the last answer said that it was the last, and whether the other side has ended the connection. */
  wasTold: boolean
  wasEnded: boolean
}

/**
 * One connection, used for one request after the other, until the other side ends it, says that it will, or `isOver`.
 * Answers have to have a length.
 * @param waitForEnd whether to stay, without a further request, until the other side ends it
 */
export function useConnection(
  url: string,
  nextTarget: () => string,
  isOver: () => boolean,
  waitForEnd: () => boolean,
): Promise<KeptConnection> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  const connection: KeptConnection = { requests: [], wasTold: false, wasEnded: false }
  const closed = Promise.withResolvers<KeptConnection>()
  let target: string | undefined
  let received = ''
  let isConnected = false

  const done = (outcome: KeptRequest['outcome'], status = 0) => {
    if (target !== undefined) connection.requests.push({ target, outcome, status })
    target = undefined
    received = ''
  }
  const proceed = () => {
    if (!connection.wasTold && !isOver()) {
      target = nextTarget()
      socket.write(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`)
    } else if (!connection.wasTold && !waitForEnd()) socket.end()
  }
  socket.setEncoding('latin1')
  socket.on('connect', () => {
    isConnected = true
    proceed()
  })
  socket.on('data', (chunk) => {
    received += chunk
    const end = received.indexOf('\r\n\r\n')
    if (end < 0) return
    const head = received.slice(0, end)
    const length = Number(/^content-length: (\d+)/im.exec(head)?.[1])
    if (received.length < end + 4 + length) return
    connection.wasTold ||= /^connection: close/im.test(head)
    done('answered', Number(head.slice(9, 12)))
    proceed()
  })
  socket.on('end', () => {
    connection.wasEnded = true
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    if (!isConnected) {
      target = nextTarget()
      done('refused')
    }
    done(received === '' ? 'unanswered' : 'cut')
    closed.resolve(connection)
  })
  return closed.promise
}
