// autocannon has no types of its own: what the benchmark uses of it.
declare module 'autocannon' {
  interface Client {
    setRequests(requests: { method: string; path: string; headers: Record<string, string> }[]): void
  }

  interface Options {
    url: string
    connections: number
    /** Seconds. */
    duration: number
    /** Milliseconds. */
    sampleInt: number
    setupClient(client: Client): void
  }

  interface Result {
    '2xx': number
    non2xx: number
    errors: number
    timeouts: number
  }

  interface Instance extends PromiseLike<Result> {
    on(event: 'response', listener: (client: Client, status: number, bytes: number, ms: number) => void): this
  }

  export default function autocannon(options: Options): Instance
}
