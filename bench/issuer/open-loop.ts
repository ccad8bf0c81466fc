/** Requests that come when they come, whether or not the ones before were answered: as people do. */
export interface OpenLoop<Client> {
  perSecond: number
  seconds: number
  /** Who has been free for longest sends the next one; a request for which nobody is free is not sent. */
  clients: Client[]
  /** @param dueMs when it was due, as `performance.now()` tells it */
  send(client: Client, dueMs: number): Promise<void>
}

/** Runs it to its end. @returns how many requests were sent, and how many were not because nobody was free */
export async function runOpenLoop<Client>({ perSecond, seconds, clients, send }: OpenLoop<Client>) {
  const free = [...clients]
  const running = new Set<Promise<void>>()
  const begin = performance.now()
  const total = Math.round(perSecond * seconds)
  let sent = 0
  let unsent = 0
  for (let next = 0; next < total; ) {
    const due = begin + (next * 1000) / perSecond
    if (performance.now() < due) {
      await new Promise((resolve) => setTimeout(resolve, 1))
      continue
    }
    next++
    const client = free.shift()
    if (client === undefined) {
      unsent++
      continue
    }
    sent++
    const done = send(client, due).finally(() => {
      running.delete(done)
      free.push(client)
    })
    running.add(done)
  }
  await Promise.all(running)
  return { sent, unsent }
}
