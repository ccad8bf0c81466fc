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

/**
 * What is logged of an error: never the members that libraries add, for they hold what was being sent, stored or
 * received (the upstream's answer, a document, a command's arguments).
 */
function serializeError(err: unknown): object {
  if (!(err instanceof Error)) return { type: typeof err, message: typeof err === 'string' ? err : 'not an error' }
  const { type, message, stack, aggregateErrors } = pino.stdSerializers.err(err)
  const { code } = err as NodeJS.ErrnoException
  return {
    type,
    message,
    stack,
    ...((typeof code === 'string' || typeof code === 'number') && { code }),
    ...(aggregateErrors && { aggregateErrors: (err as AggregateError).errors.map(serializeError) }),
  }
}

const MOST_GATHERED_BYTES = 8 * 1024

/**
 * Stdout, written once for all lines of one turn of the event loop: a line of its own costs more to write than to make,
 * for each wakes whoever reads. A process that ends by itself, or by an error, has written all of them.
 */
function gatheredStdout(): DestinationStream {
  const stdout = pino.destination({ dest: 1, sync: true, minLength: MOST_GATHERED_BYTES })
  let waiting = false
  const flush = () => {
    waiting = false
    stdout.flushSync()
  }
  process.on('exit', flush)
  return {
    write(line) {
      stdout.write(line)
      if (waiting) return
      waiting = true
      setImmediate(flush)
    },
  }
}

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
    serializers: { err: serializeError },
  }
  return pino(options, destination ?? gatheredStdout())
}
