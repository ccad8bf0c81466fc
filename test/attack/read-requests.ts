/** A request as the bytes say it. */
export interface ReadRequest {
  method: string
  target: string
  /** Names and values in turn. */
  fields: string[]
  /** One character a byte. */
  body: string
  /** All its bytes. */
  raw: string
  trailers: string[]
  /** Whether a chunk had an extension. */
  extended: boolean
}

export interface ReadRequests {
  requests: ReadRequest[]
  /** What came after the last whole one: nothing, a part of one, or what is none. */
  rest: 'nothing' | 'part' | 'malformed'
  /** How many bytes the whole ones and what is `malformed` after them take up. */
  end: number
  why?: string
}

const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) +([!-\xff]+) HTTP\/1\.([01])$/
const FIELD_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*$/
const CHUNK_LINE = /^([0-9A-Fa-f]{1,15})((?:[ \t]*;[\t -~\x80-\xff]*)?)$/

/**
 * Reads requests as RFC 9112 says and no more: CRLF, one `Host`, one length or `chunked`, no folding. It is written
 * apart from every parser in use, so that it can judge what one of them made of the same bytes.
 * @param text one character a byte
 */
export function readRequests(text: string): ReadRequests {
  const requests: ReadRequest[] = []
  let at = 0
  for (;;) {
    // Empty lines before a request are to be ignored (RFC 9112 section 2.2).
    while (text.startsWith('\r\n', at)) at += 2
    if (at >= text.length || text.slice(at) === '\r') return { requests, rest: 'nothing', end: at }
    const result = readOne(text, at)
    if (typeof result === 'string') {
      return result === 'part'
        ? { requests, rest: 'part', end: at }
        : { requests, rest: 'malformed', end: at, why: result }
    }
    requests.push(result)
    at += result.raw.length
  }
}

/** @returns the request; 'part' when there is more to come; or what is wrong */
function readOne(text: string, start: number): ReadRequest | string {
  const end = text.indexOf('\r\n\r\n', start)
  if (end === -1) return 'part'
  const [line = '', ...lines] = text.slice(start, end).split('\r\n')
  const request = REQUEST_LINE.exec(line)
  if (!request) return `request line ${JSON.stringify(line.slice(0, 80))}`
  const fields = readFieldLines(lines)
  if (typeof fields === 'string') return fields
  const of = (name: string) => fields.filter((_, i) => i % 2 === 1 && fields[i - 1]!.toLowerCase() === name)
  if (of('host').length > 1 || (of('host').length === 0 && request[3] === '1')) return 'not one Host'
  const codings = of('transfer-encoding')
  const lengths = of('content-length')
  const head = { method: request[1]!, target: request[2]!, fields }
  if (codings.length > 0) {
    if (lengths.length > 0) return 'a length and a coding'
    if (codings.length > 1 || codings[0]!.toLowerCase() !== 'chunked' || request[3] === '0') return 'another coding'
    const chunked = readChunkedBody(text, end + 4)
    if (typeof chunked === 'string') return chunked
    const { next, ...rest } = chunked
    return { ...head, ...rest, raw: text.slice(start, next) }
  }
  if (lengths.length > 1 || (lengths.length === 1 && !/^\d{1,15}$/.test(lengths[0]!))) return 'not one length'
  const next = end + 4 + Number(lengths[0] ?? 0)
  if (next > text.length) return 'part'
  return { ...head, body: text.slice(end + 4, next), trailers: [], extended: false, raw: text.slice(start, next) }
}

function readFieldLines(lines: string[]): string[] | string {
  const fields: string[] = []
  for (const line of lines) {
    const field = FIELD_LINE.exec(line)
    if (!field) return `field ${JSON.stringify(line.slice(0, 80))}`
    fields.push(field[1]!, field[2]!)
  }
  return fields
}

interface ChunkedBody {
  body: string
  trailers: string[]
  extended: boolean
  next: number
}

function readChunkedBody(text: string, start: number): ChunkedBody | string {
  let body = ''
  let at = start
  let extended = false
  for (;;) {
    const end = text.indexOf('\r\n', at)
    if (end === -1) return 'part'
    const line = CHUNK_LINE.exec(text.slice(at, end))
    if (!line) return `chunk ${JSON.stringify(text.slice(at, Math.min(end, at + 40)))}`
    const size = Number.parseInt(line[1]!, 16)
    extended ||= line[2] !== ''
    at = end + 2
    if (size === 0) break
    if (at + size + 2 > text.length) {
      const past = text.slice(at + size, at + size + 2)
      return '\r\n'.startsWith(past) ? 'part' : 'a chunk longer than it says'
    }
    if (text.slice(at + size, at + size + 2) !== '\r\n') return 'a chunk longer than it says'
    body += text.slice(at, at + size)
    at += size + 2
  }
  if (text.startsWith('\r\n', at)) return { body, trailers: [], extended, next: at + 2 }
  const end = text.indexOf('\r\n\r\n', at)
  if (end === -1) return 'part'
  const trailers = readFieldLines(text.slice(at, end).split('\r\n'))
  return typeof trailers === 'string' ? trailers : { body, trailers, extended, next: end + 4 }
}
