import { writeSync } from 'node:fs'
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
  return err instanceof Expected ? describe(err.error, isMistake(err.error)) : describe(err, true)
}

function describe(err: unknown, withStack: boolean): object {
  if (!(err instanceof Error)) return { type: typeof err, message: typeof err === 'string' ? err : 'not an error' }
  const { type, message, stack, aggregateErrors } = pino.stdSerializers.err(err)
  const code = codeOf(err)
  return {
    type,
    message,
    ...(withStack && { stack }),
    ...(code !== undefined && { code }),
    ...(aggregateErrors && { aggregateErrors: (err as AggregateError).errors.map((one) => describe(one, withStack)) }),
  }
}

const MAX_CAUSES = 5

/** The error's own, or that of what caused it. */
function codeOf(err: Error): string | number | undefined {
  let at: unknown = err
  for (let i = 0; i < MAX_CAUSES && at instanceof Error; i++, at = at.cause) {
    const { code } = at as { code?: unknown }
    if (typeof code === 'string' || typeof code === 'number') return code
  }
  return undefined
}

class Expected {
  readonly error: unknown
  constructor(error: unknown) {
    this.error = error
  }
}

/**
 * For `err` of a log line about what is to be expected of the world outside: a store that is away, a connection that
 * broke. It is logged without its stack, which says nothing then; an error that looks like a mistake here keeps it.
 */
export function expected(error: unknown): object {
  return new Expected(error)
}

const MISTAKES = /^(?:TypeError|RangeError|ReferenceError|ReplyError|Mongo.*)$/

/** What code is to blame for: its own errors, and what a store says of a statement (an outage is a StoreUnavailable). */
function isMistake(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { name, cause, code } = error as NodeJS.ErrnoException
  return (MISTAKES.test(name) && cause === undefined) || code === 'ERR_SQLITE_ERROR'
}

/** Written at once when it has grown to this. */
const MOST_GATHERED_BYTES = 8 * 1024

/**
 * Stdout, written once for all lines of one turn of the event loop: a line of its own costs more to write than to make,
 * for each wakes whoever reads. A process that ends by itself, or by an error, has written all of them. Where nobody
 * reads any more, or the disk is full, lines are lost; pino's own destination would try again for ever, and with it the
 * whole process stand still.
 */
function gatheredStdout(): DestinationStream {
  let gathered = ''
  let waiting = false
  let failing = false
  const flush = () => {
    if (gathered === '') return
    const text = gathered
    gathered = ''
    try {
      writeWhole(Buffer.from(text))
      failing = false
    } catch (error) {
      if (!failing) complain(error as NodeJS.ErrnoException)
      failing = true
    }
  }
  process.on('exit', flush)
  return {
    write(line) {
      gathered += line
      if (gathered.length >= MOST_GATHERED_BYTES) flush()
      if (waiting) return
      waiting = true
      setImmediate(() => {
        waiting = false
        flush()
      })
    },
  }
}

const STDOUT = 1
const STDERR = 2
const FULL_PIPE_WAIT_MS = 5

/** A pipe that is full, and that another process has made one that does not wait, is waited for all the same. */
function writeWhole(bytes: Buffer): void {
  for (let written = 0; written < bytes.length; ) {
    try {
      written += writeSync(STDOUT, bytes, written)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_PIPE_WAIT_MS)
    }
  }
}

function complain({ code }: NodeJS.ErrnoException): void {
  try {
    writeSync(STDERR, `the log cannot be written (${code}); lines are lost\n`)
  } catch {
    // There is nowhere left to say it.
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
