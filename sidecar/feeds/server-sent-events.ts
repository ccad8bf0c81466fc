/** One event of a stream (HTML Living Standard, section 9.2.6). */
export interface ServerSentEvent {
  /** `message` unless the stream names another. */
  type: string
  data: string
  /** The id that the stream has reached; `undefined` before it named one. */
  id: string | undefined
}

/** An event, with all its lines, longer than this ends the stream: characters. */
export const MAX_EVENT_CHARACTERS = 1024 * 1024

/**
 * Reads Server-Sent Events. Lines end with LF or CRLF; comments and `retry` are passed over.
 * @throws when an event is too long or the text is not UTF-8
 */
export async function* readServerSentEvents(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<ServerSentEvent> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let rest = ''
  let event = { type: '', data: [] as string[], characters: 0 }
  let id: string | undefined
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop()!
    for (const line of lines) {
      const { name, value } = readLine(line)
      event.characters += line.length
      if (event.characters > MAX_EVENT_CHARACTERS) throw new Error('an event of the stream is too long')
      if (name === 'data') event.data.push(value)
      else if (name === 'event') event.type = value
      else if (name === 'id' && !value.includes('\0')) id = value
      else if (name === '' && value === '') {
        if (event.data.length > 0) yield { type: event.type || 'message', data: event.data.join('\n'), id }
        event = { type: '', data: [], characters: 0 }
      }
    }
    if (event.characters + rest.length > MAX_EVENT_CHARACTERS) throw new Error('an event of the stream is too long')
  }
}

/** An empty line has neither name nor value; a comment has a value only. */
function readLine(line: string): { name: string; value: string } {
  const end = line.endsWith('\r') ? line.length - 1 : line.length
  const colon = line.indexOf(':')
  if (colon === -1) return { name: line.slice(0, end), value: '' }
  if (colon === 0) return { name: '', value: ':' }
  const start = line[colon + 1] === ' ' ? colon + 2 : colon + 1
  return { name: line.slice(0, colon), value: line.slice(start, end) }
}
