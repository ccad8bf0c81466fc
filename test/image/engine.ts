import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { eventually } from '../helpers/eventually.ts'
import { uniqueName } from '../helpers/unique-name.ts'
import { onPath } from '../servers/command.ts'

const execute = promisify(execFile)
const MAX_BYTES = 256 * 1024 * 1024

/** A program with Docker's commands, whose engine answers. */
export interface Engine {
  name: 'docker' | 'podman'
  /** @returns what it printed on stdout; throws with what it said on stderr */
  call(...args: string[]): Promise<string>
}

/** @throws Error that says what was looked for */
export async function findEngine(): Promise<Engine> {
  const tried: string[] = []
  for (const name of ['docker', 'podman'] as const) {
    if (onPath(name) === undefined) {
      tried.push(`${name} is not on the PATH`)
      continue
    }
    const call = async (...args: string[]): Promise<string> => {
      const { stdout } = await execute(name, args, { maxBuffer: MAX_BYTES, timeout: 900_000 })
      return stdout.trim()
    }
    try {
      await call('info', '--format', '{{json .}}')
      return { name, call }
    } catch (error) {
      tried.push(
        `${name}: no engine answers (${String((error as Error).message)
          .trim()
          .split('\n')
          .at(-1)})`,
      )
    }
  }
  throw new Error(`the image is tested with a container engine, and there is none here: ${tried.join('; ')}`)
}

interface Teardown {
  teardown(fn: () => Promise<void>): void
}

export interface ContainerOptions {
  image: string
  args?: string[]
  /** Options of `run`. */
  options?: string[]
  env?: Record<string, string>
}

export interface Container {
  name: string
  /** Runs a script by the container's own Node; there is nothing else that could. */
  evaluate(script: string): Promise<string>
  logs(): Promise<string>
  /** Resolves when the image's HEALTHCHECK has succeeded, here and now. */
  untilHealthy(): Promise<void>
  /** As the engine ends it: SIGTERM. @returns the exit code */
  stop(): Promise<number>
}

/** As the charts' securityContext has it: a read-only file system, no capabilities, no new privileges. */
export const HARDENED = ['--read-only', '--cap-drop=ALL', '--security-opt=no-new-privileges']

/** Podman would else put a tmpfs at /tmp, /run and /var/tmp into a read-only container; Docker does not. */
const readOnly = (engine: Engine): string[] => (engine.name === 'podman' ? ['--read-only-tmpfs=false'] : [])

/** Starts a hardened container; it is removed, with its volumes, when the test ends. */
export async function startContainer(
  t: Teardown,
  engine: Engine,
  { image, args = [], options = [], env = {} }: ContainerOptions,
): Promise<Container> {
  const name = uniqueName('sallyport-image')
  const environment = Object.entries(env).flatMap(([key, value]) => ['--env', `${key}=${value}`])
  t.teardown(async () => void (await engine.call('rm', '--force', '--volumes', name).catch(() => {})))
  const hardening = [...HARDENED, ...readOnly(engine)]
  await engine.call('run', '--detach', '--name', name, ...hardening, ...options, ...environment, image, ...args)
  const logs = () => engine.call('logs', name)
  return {
    name,
    logs,
    evaluate: (script) => engine.call('exec', name, 'node', '-p', script),
    async untilHealthy() {
      // Podman's own timer for this needs systemd, which not every machine has.
      const isHealthy = async () => {
        if (engine.name === 'podman') await engine.call('healthcheck', 'run', name)
        return (await engine.call('inspect', '--format', '{{.State.Health.Status}}', name)) === 'healthy'
      }
      await eventually(isHealthy, { within: 90_000, every: 500, message: `${name} is healthy` }).catch(
        async (error) => {
          throw new Error(`${error.message}\n${await logs()}`)
        },
      )
    },
    async stop() {
      await engine.call('stop', '--time', '60', name)
      return Number(await engine.call('inspect', '--format', '{{.State.ExitCode}}', name))
    },
  }
}

/** Runs the image to its end, hardened. @returns what it printed */
export function runOnce(engine: Engine, image: string, args: string[], options: string[] = []): Promise<string> {
  return engine.call('run', '--rm', ...HARDENED, ...readOnly(engine), ...options, image, ...args)
}

/** What an engine puts into every container. */
const OF_THE_ENGINE = /^(\.dockerenv|dev\/.*|etc\/(hostname|hosts|mtab|resolv\.conf)|run\/\.containerenv)$/

/** The files of the image: `tar` lists them with type, mode and owner. */
export async function listFiles(engine: Engine, image: string): Promise<FileEntry[]> {
  const container = await engine.call('create', image)
  try {
    const { stdout } = await execute(
      'sh',
      ['-c', '"$0" export "$1" | tar --list --verbose --numeric-owner', engine.name, container],
      {
        maxBuffer: MAX_BYTES,
      },
    )
    return stdout
      .trim()
      .split('\n')
      .map(parseEntry)
      .filter(({ path }) => !OF_THE_ENGINE.test(path))
  } finally {
    await engine.call('rm', container)
  }
}

export interface FileEntry {
  /** Without the leading slash. */
  path: string
  /** As `ls` writes it: `-rwxr-xr-x`. */
  mode: string
  owner: string
  /** When it was changed: date and time, to the minute. */
  changed: string
}

function parseEntry(line: string): FileEntry {
  const [mode = '', owner = '', , date, time, ...path] = line.split(/\s+/)
  return {
    mode,
    owner,
    changed: `${date} ${time}`,
    path: path
      .join(' ')
      .replace(/ (->|link to) .*/, '')
      .replace(/\/$/, ''),
  }
}

/** A file of the image, by way of a container that is never started. */
export async function readFileOf(engine: Engine, image: string, path: string): Promise<string> {
  const container = await engine.call('create', image)
  try {
    const { stdout } = await execute(
      'sh',
      ['-c', '"$0" cp "$1" - | tar --extract --to-stdout', engine.name, `${container}:${path}`],
      {
        maxBuffer: MAX_BYTES,
      },
    )
    return stdout
  } finally {
    await engine.call('rm', container)
  }
}
