/** One answer, or what came in the place of one. */
export interface Answer {
  /** 0 for bytes that are no HTTP/1.1 answer. */
  status: number
  /** By name in lower case; repeated ones joined by a comma. */
  headers: Map<string, string>
  body: string
  /** Whether all of it has come. */
  complete: boolean
}

/**
 * Takes apart what came over a connection (RFC 9112 section 6.3). Interim answers (100, 103) are left out: they belong to
 * the answer after them.
 * @param text one character a byte
 * @param closed whether the other side has ended the connection, which ends an answer without a length
 */
export function readAnswers(text: string, closed: boolean): Answer[] {
  const answers: Answer[] = []
  let at = 0
  while (at < text.length) {
    const end = text.indexOf('\r\n\r\n', at)
    const head = end === -1 ? text.slice(at) : text.slice(at, end)
    const status = Number(/^HTTP\/1\.[01] (\d{3})(?: |\r\n|$)/.exec(head)?.[1] ?? 0)
    if (status === 0 || end === -1) {
      const begun = end === -1 && 'HTTP/1.1 '.startsWith(head.slice(0, 9))
      if (!begun || closed) answers.push({ status, headers: new Map(), body: head, complete: closed })
      return answers
    }
    const headers = readFields(head)
    const { body, next, complete } = readBody(text, end + 4, status, headers, closed)
    at = next
    if (status >= 200 || status === 101) answers.push({ status, headers, body, complete })
    // What follows is another protocol.
    if (status === 101) return answers
  }
  return answers
}

function readFields(head: string): Map<string, string> {
  const headers = new Map<string, string>()
  for (const line of head.split('\r\n').slice(1)) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    const earlier = headers.get(name)
    headers.set(name, earlier === undefined ? value : `${earlier}, ${value}`)
  }
  return headers
}

interface Body {
  body: string
  next: number
  complete: boolean
}

function readBody(text: string, at: number, status: number, headers: Map<string, string>, closed: boolean): Body {
  if (status < 200 || status === 204 || status === 304) return { body: '', next: at, complete: true }
  if (/chunked/i.test(headers.get('transfer-encoding') ?? '')) return readChunks(text, at)
  const length = headers.get('content-length')
  if (length === undefined) return { body: text.slice(at), next: text.length, complete: closed }
  const next = at + Number(length)
  return { body: text.slice(at, next), next: Math.min(next, text.length), complete: next <= text.length }
}

function readChunks(text: string, at: number): Body {
  let body = ''
  for (;;) {
    const line = /^([0-9a-f]+)[^\r\n]*\r\n/i.exec(text.slice(at, at + 200))
    if (!line) return { body, next: text.length, complete: false }
    const size = Number.parseInt(line[1]!, 16)
    at += line[0].length
    if (size === 0) {
      const end = text.indexOf('\r\n', at)
      const last = end === at ? at : text.indexOf('\r\n\r\n', at) + 2
      return end === -1 || last === 1
        ? { body, next: text.length, complete: false }
        : { body, next: last + 2, complete: true }
    }
    if (at + size + 2 > text.length) return { body: body + text.slice(at), next: text.length, complete: false }
    body += text.slice(at, at + size)
    at += size + 2
  }
}
