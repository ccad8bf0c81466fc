import { connect, type Socket } from 'node:net'

/** One answer, as far as a load generator looks at it. */
export interface Answer {
  status: number
  body: string
}

/** One kept-alive connection that carries one request at a time. */
export interface Connection {
  /**
   * Sends a POST with JSON.
   * @param headers further ones, each line ended by CRLF
   * @throws Error when the connection ends before the answer
   */
  post(path: string, json: object, headers?: string): Promise<Answer>
  /** The same for a GET. */
  get(path: string, headers?: string): Promise<Answer>
  close(): void
}

const HEAD_END = '\r\n\r\n'

/**
 * Opens a connection that costs this process as little as may be (a third of what an HTTP client takes), for it shares
 * the cores with what it measures. It reads answers with a Content-Length and nothing else.
 */
export async function openConnection(url: string): Promise<Connection> {
  const { hostname, port, host } = new URL(url)
  const socket: Socket = connect({ host: hostname, port: Number(port), noDelay: true })
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  let received = ''
  let settle: { resolve(answer: Answer): void; reject(error: Error): void } | undefined

  socket.setEncoding('latin1')
  socket.on('data', (chunk: string) => {
    received += chunk
    const answer = readAnswer(received)
    if (!answer) return
    received = ''
    // Nothing was asked: the server says why it closes the connection.
    if (!settle) return void socket.destroy()
    const { resolve } = settle
    settle = undefined
    resolve(answer)
  })
  const fail = () => settle?.reject(new Error(`${url} closed the connection`))
  socket.on('close', fail)
  socket.on('error', fail)

  const send = (head: string, body = '') =>
    new Promise<Answer>((resolve, reject) => {
      if (socket.destroyed) return reject(new Error(`${url} closed the connection`))
      settle = { resolve, reject }
      socket.write(`${head}Host: ${host}\r\nUser-Agent: bench\r\n\r\n${body}`)
    })
  return {
    post(path, json, headers = '') {
      const body = JSON.stringify(json)
      const about = `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`
      return send(`POST ${path} HTTP/1.1\r\n${about}${headers}`, body)
    },
    get: (path, headers = '') => send(`GET ${path} HTTP/1.1\r\n${headers}`),
    close: () => void socket.destroy(),
  }
}

/** @returns `undefined` while it is not all here */
function readAnswer(text: string): Answer | undefined {
  const end = text.indexOf(HEAD_END)
  if (end === -1) return undefined
  const bytes = Number(/\r\ncontent-length: (\d+)/i.exec(text.slice(0, end))?.[1])
  if (Number.isNaN(bytes)) throw new Error(`an answer without Content-Length: ${text.slice(0, end)}`)
  const body = text.slice(end + HEAD_END.length)
  return body.length < bytes ? undefined : { status: Number(text.slice(9, 12)), body }
}
