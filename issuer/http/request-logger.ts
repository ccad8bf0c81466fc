import type { FastifyBaseLogger } from 'fastify'

type Make = () => FastifyBaseLogger

/**
 * A request's own log, made when something is written to it: most requests never do, and what a line of the request
 * log says stands in that line.
 */
export function createRequestLogger(make: Make): FastifyBaseLogger {
  let made: FastifyBaseLogger | undefined
  const own = () => (made ??= make())
  const as =
    (level: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace') =>
    (...args: unknown[]) =>
      (own()[level] as (...args: unknown[]) => void)(...args)
  return {
    fatal: as('fatal'),
    error: as('error'),
    warn: as('warn'),
    info: as('info'),
    debug: as('debug'),
    trace: as('trace'),
    silent: () => {},
    child: (bindings, options) => own().child(bindings, options),
    get level() {
      return own().level
    },
  }
}
