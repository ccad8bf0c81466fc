import { connect } from 'node:net'

/**
 * Asks the broker on this port for the cluster's metadata. Resolves when it names itself and a controller, which is
 * when topics can be created; rejects while it doesn't. Written out (Metadata request, version 1) because kafkajs, which
 * the tests would otherwise load for this alone, waits between its own attempts for longer than a broker takes to start.
 */
export function probeKafka(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', timeout: 2000 })
    let answer = Buffer.alloc(0)
    socket.once('connect', () => socket.write(metadataRequest()))
    socket.once('timeout', () => socket.destroy(new Error('no answer to a metadata request')))
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('the connection was closed')))
    socket.on('data', (chunk) => {
      answer = Buffer.concat([answer, chunk as Buffer])
      if (answer.length < 4 || answer.length < 4 + answer.readInt32BE(0)) return
      if (isComplete(answer)) resolve()
      else reject(new Error('the cluster has no broker or no controller yet'))
      socket.destroy()
    })
  })
}

function metadataRequest(): Buffer {
  const request = Buffer.alloc(4 + 14)
  request.writeInt32BE(14, 0)
  request.writeInt16BE(3, 4) // Metadata
  request.writeInt16BE(1, 6) // version
  request.writeInt32BE(1, 8) // correlation id
  request.writeInt16BE(-1, 12) // no client id
  request.writeInt32BE(0, 14) // of no topic
  return request
}

/** Size, correlation id, brokers (id, host, port, rack), controller id. */
function isComplete(answer: Buffer): boolean {
  const brokers = answer.readInt32BE(8)
  let at = 12
  for (let i = 0; i < brokers; i++) {
    at += 4
    at += 2 + answer.readInt16BE(at)
    at += 4
    at += 2 + Math.max(0, answer.readInt16BE(at))
  }
  return brokers > 0 && answer.readInt32BE(at) >= 0
}
