/** What one server listens on. */
export interface Listener {
  /** The setting that says the port. */
  setting: string
  host: string
  /** 0 takes a free one. */
  port: number
}

const EVERY_ADDRESS = new Set(['0.0.0.0', '::'])

/** Servers that could not listen beside each other: a line for each that has the port of one before it. */
export function portConflicts(listeners: readonly Listener[]): string[] {
  return listeners.flatMap((one, i) => {
    const other = listeners.slice(0, i).find((earlier) => collide(earlier, one))
    return other ? [`${one.setting}: ${one.port} is the port of ${other.setting} as well; choose another`] : []
  })
}

function collide(a: Listener, b: Listener): boolean {
  const meet = a.host === b.host || EVERY_ADDRESS.has(a.host) || EVERY_ADDRESS.has(b.host)
  return a.port !== 0 && a.port === b.port && meet
}
