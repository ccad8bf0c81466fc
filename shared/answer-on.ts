import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Node's own fields, which its types leave out. */
interface HttpSocket extends Socket {
  _httpMessage?: Answer | null
}
type Answer = ServerResponse & { _last?: boolean }

/** The answer that has a server's connection now: those to requests behind it wait. Only Node's own field says which. */
export function answerOn(socket: Socket): ServerResponse | undefined {
  return (socket as HttpSocket)._httpMessage ?? undefined
}

/** Whether an answer says `Connection: close`, once its head is made. */
export function isLast(answer: ServerResponse): boolean {
  return (answer as Answer)._last === true
}
