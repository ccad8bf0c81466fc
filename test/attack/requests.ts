import type { Shot } from './deployment.ts'
import { credentials } from './exchange.ts'

/** A request as it is meant to be read. */
export interface Meant {
  method: string
  target: string
  body: string
}

/** The bytes of a request to the deployment's path: the ordinary fields, then these, then the body as it is. */
export function post(shot: Shot, fields: readonly string[] = [], body = '', method = 'POST'): string {
  return message(shot, `${method} ${shot.path} HTTP/1.1`, fields, body)
}

export function get(shot: Shot, fields: readonly string[] = [], target = shot.path): string {
  return message(shot, `GET ${target} HTTP/1.1`, fields)
}

/** A request with any first line. */
export function message(shot: Shot, line: string, fields: readonly string[] = [], body = ''): string {
  return bare(line, [`Host: ${shot.host}`, ...ordinaryFields(shot), ...fields], body)
}

/** What every request has beside its `Host`. */
export function ordinaryFields({ marker, token }: Shot): string[] {
  return [`X-Attack: ${marker}`, ...credentials(token)]
}

/** These fields and no others. */
export function bare(line: string, fields: readonly string[], body = ''): string {
  return `${[line, ...fields].join('\r\n')}\r\n\r\n${body}`
}

/** A body in one chunk; `size` is written as it is. */
export function chunked(data: string, size: string = data.length.toString(16)): string {
  return `${size}\r\n${data}\r\n0\r\n\r\n`
}

export const CHUNKED = 'Transfer-Encoding: chunked'

export function lengthOf(body: string): string {
  return `Content-Length: ${body.length}`
}
