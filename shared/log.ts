import { type DestinationStream, type Logger, pino } from 'pino'

export type Log = Logger

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

// The last line of defence: no code logs these on purpose, but a library might hand them over inside an object.
const SECRET_PATHS = [
  'password',
  'authorization',
  'cookie',
  'set-cookie',
  'access_token',
  'refresh_token',
  'email',
  'token',
]

/** A structured log to stdout, a JSON line each. It never carries a password, a token or an e-mail address. */
export function createLog(role: string, level: (typeof LOG_LEVELS)[number], destination?: DestinationStream): Log {
  const paths = SECRET_PATHS.flatMap((name) => {
    const key = /^\w+$/.test(name) ? `.${name}` : `["${name}"]`
    return [key.replace(/^\./, ''), `*${key}`, `*.*${key}`]
  })
  const options = {
    level,
    base: { role },
    redact: { paths, censor: '[secret]' },
    timestamp: pino.stdTimeFunctions.isoTime,
  }
  return destination ? pino(options, destination) : pino(options)
}
