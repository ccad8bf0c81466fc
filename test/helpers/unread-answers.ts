import { once } from 'node:events'
import type { Server } from 'node:http'
import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'
import { eventually } from './eventually.ts'

/** A client that asks and does not read. */
export interface UnreadClient {
  client: Socket
  /** Its connection, seen from the server. */
  end: Socket
  /**
   * Asks again and again, until an answer waits for the client to take it, or the connection has been ended.
   * @param arrived how many requests have come
   */
  askUntilAnAnswerWaits(arrived: () => number): Promise<void>
  /** How often it has asked. */
  asked(): number
}

/** Connects to a server of this process, without reading what it sends. */
export async function startUnreadClient(t: Test, server: Server, get: string): Promise<UnreadClient> {
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const client = connect((server.address() as { port: number }).port, '127.0.0.1')
  client.on('error', () => {})
  t.teardown(() => client.destroy())
  client.pause()
  const [end] = await accepted
  let asked = 0
  return {
    client,
    end,
    asked: () => asked,
    async askUntilAnAnswerWaits(arrived) {
      for (let n = 0; !end.destroyed && end.writableLength === 0 && n < 10_000; n++) {
        const before = arrived()
        client.write(get)
        asked++
        await eventually(() => arrived() > before || end.writableLength > 0, { every: 1 })
      }
    },
  }
}
