import { mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { canListen, freePort } from '../helpers/port.ts'
import { type Command, logTail, type Program, startProgram } from './program.ts'
import { guardFolder } from './watchdog.ts'

/** A server of one test's own: what it holds is this test's, so it may be killed, paused and wiped. */
export interface Server {
  /** `redis://…`, `mongodb://…`, or Kafka's `host:port` list. Stays the same through kill and start. */
  readonly url: string
  /** The operating system's process id; changes with every start. */
  readonly pid: number
  /** Ends it and deletes its data. May be called again, and after `kill`. */
  stop(): Promise<void>
  /** Ends it in order (SIGTERM) and keeps its data for `start`. */
  stopKeepingData(): Promise<void>
  /** Ends it at once (SIGKILL), as a crash would; its data stay for `start`. */
  kill(): Promise<void>
  /** Lets it hang (SIGSTOP): connections stay open and nothing is answered. On return it stands still. */
  pause(): void
  resume(): void
  /** Starts it again on the same port with the same data; resolves when it answers. */
  start(): Promise<void>
}

/** Where one server lives. */
export interface Place {
  /** The first is the one clients use. */
  ports: [number, ...number[]]
  /** An existing folder for its data. */
  data: string
}

/** What differs from one kind of server to the next. */
export interface Recipe {
  name: string
  /** How many ports it needs. */
  ports: number
  url(port: number): string
  /** Called once for a new, empty place. */
  prepare?(place: Place): void | Promise<void>
  command(place: Place): Command
  /** Resolves when the server answered as it should; throwing means "not yet". */
  answers(port: number): Promise<void>
  /** Called when its data are deleted. */
  discard?(place: Place): void
}

const startDeadline = 180_000
const memoryFolder = '/dev/shm'
/** What a folder in memory has to have free, and the machine: bytes. A run of everything puts some 1 GB there at most. */
const plenty = 4 * 2 ** 30
const takenPort = /address (is )?already in use|EADDRINUSE|BindException|errno 98/i

/** Starts a server in a new temporary folder on free ports. Throws an error with the end of its log if it doesn't come up. */
export async function startServer(recipe: Recipe): Promise<Server> {
  for (let attempt = 1; ; attempt++) {
    const server = await newServer(recipe)
    try {
      await server.start()
      return server
    } catch (error) {
      await server.stop()
      if (attempt === 3 || !takenPort.test(String(error))) throw error
    }
  }
}

async function newServer(recipe: Recipe): Promise<Server> {
  const ports: [number, ...number[]] = [await freePort()]
  while (ports.length < recipe.ports) ports.push(await freePort())
  const folder = mkdtempSync(join(dataFolder(), `sallyport-${recipe.name.toLowerCase()}-`))
  const unguard = guardFolder(folder)
  const place: Place = { ports, data: join(folder, 'data') }
  const logFile = join(folder, 'log')
  mkdirSync(place.data)
  await recipe.prepare?.(place)
  let program: Program | undefined
  let paused = false

  async function end(deadline: number): Promise<void> {
    if (program === undefined || program.hasEnded()) return
    if (paused) resume()
    program.signal('SIGTERM')
    const timer = setTimeout(() => program?.signal('SIGKILL'), deadline)
    await program.ended
    clearTimeout(timer)
  }
  async function kill(): Promise<void> {
    program?.signal('SIGKILL')
    await program?.ended
    paused = false
  }
  function resume(): void {
    program?.signal('SIGCONT')
    paused = false
  }

  return {
    url: recipe.url(ports[0]),
    get pid() {
      if (program === undefined || program.hasEnded()) throw new Error(`${recipe.name} is not running`)
      return program.pid
    },
    kill,
    resume,
    pause() {
      program?.signal('SIGSTOP')
      paused = true
    },
    stopKeepingData: () => end(8_000),
    async stop() {
      // Its data are thrown away: there is no point in waiting long for it to put them in order.
      await end(1000)
      recipe.discard?.(place)
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
      unguard()
    },
    async start() {
      if (program !== undefined && !program.hasEnded()) throw new Error(`${recipe.name} is running already`)
      program = await launch(recipe, place, logFile)
    },
  }
}

/** Memory where there is plenty: on a disk that something else keeps busy a store takes seconds for a write now and then. */
function dataFolder(): string {
  if (process.env.TMPDIR !== undefined) return tmpdir()
  try {
    const { bavail, bsize } = statfsSync(memoryFolder)
    return Math.min(bavail * bsize, process.availableMemory()) >= plenty ? memoryFolder : tmpdir()
  } catch {
    return tmpdir() // No Linux.
  }
}

async function launch(recipe: Recipe, place: Place, logFile: string): Promise<Program> {
  // What was killed a moment ago can hold its port for a few ms more.
  for (let waited = 0; waited < 2000 && !(await canListen(place.ports[0])); waited += 50) await sleep(50)
  const program = startProgram(recipe.command(place), logFile)
  const deadline = performance.now() + startDeadline
  let reason = 'no answer'
  while (!program.hasEnded() && performance.now() < deadline) {
    try {
      await recipe.answers(place.ports[0])
      if (!program.hasEnded()) return program
    } catch (error) {
      reason = String(error)
      await sleep(40)
    }
  }
  const how = program.hasEnded() ? `ended (${await program.ended})` : `gave no answer in ${startDeadline} ms: ${reason}`
  program.signal('SIGKILL')
  await program.ended
  throw new Error(`${recipe.name} did not start: it ${how}. The end of its log:\n${logTail(logFile)}`)
}
