import type { NodeProcess } from '../../test/helpers/process.ts'
import type { Bench } from '../processes.ts'

/** What a process holds after a full collection: bytes. */
export interface LiveMemory {
  heap: number
  /** Buffers and other memory outside the heap that its objects hold. */
  external: number
  resident: number
}

/** Node's option that {@link watchMemory} needs. */
export const INSPECTABLE = '--inspect=127.0.0.1:0'

interface Answer {
  id: number
  result?: { result?: { value?: string } }
}

/**
 * Looks into a process by way of its inspector.
 * @returns has it collect all garbage and asks what is left
 */
export async function watchMemory(bench: Bench, process: NodeProcess): Promise<() => Promise<LiveMemory>> {
  const [, url = ''] = await process.waitForLine(/^Debugger listening on (ws:\S+)/)
  const socket = new WebSocket(url)
  // Node does not end while it is being looked into.
  bench.onEnd(async () => socket.close())
  const waiting = new Map<number, (answer: Answer) => void>()
  let last = 0
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve)
    socket.addEventListener('error', () => reject(new Error('the inspector does not answer')))
  })
  socket.addEventListener('message', ({ data }) => {
    const answer = JSON.parse(String(data)) as Answer
    waiting.get(answer.id)?.(answer)
    waiting.delete(answer.id)
  })
  const send = (method: string, params: object = {}) =>
    new Promise<Answer>((resolve) => {
      waiting.set(++last, resolve)
      socket.send(JSON.stringify({ id: last, method, params }))
    })

  return async () => {
    await send('HeapProfiler.collectGarbage')
    const expression = 'JSON.stringify(process.memoryUsage())'
    const { result } = await send('Runtime.evaluate', { expression, returnByValue: true })
    const { heapUsed, external, rss } = JSON.parse(result!.result!.value!) as NodeJS.MemoryUsage
    return { heap: heapUsed, external, resident: rss }
  }
}
