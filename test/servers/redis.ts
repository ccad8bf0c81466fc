import { connect } from 'node:net'
import { arch } from 'node:os'
import { join } from 'node:path'
import { distribution, unpackDebian, unpackedEnvironment } from './apt.ts'
import { cached } from './cache.ts'
import { onPath, run } from './command.ts'
import { dockerRun, removeVolume } from './docker.ts'
import { type Place, type Server, startServer } from './server.ts'
import { findSource, type Source } from './sources.ts'

/** Where Redis comes from on this machine; fetches it if need be. Throws ServerUnavailable. */
export const findRedis = (): Promise<Source> =>
  findSource({
    kind: 'redis',
    name: 'Redis',
    variable: 'TEST_REDIS_URL',
    image: 'redis:7',
    installed: () => {
      const file = onPath('redis-server')
      return file === undefined ? undefined : { kind: 'program', file, args: [] }
    },
    hint: 'redis-server',
    fetch: fetchRedis,
  })

/**
 * Starts a Redis of the caller's own, with an append-only file: an acknowledged write survives `kill`.
 * @param more arguments, such as `--requirepass`
 */
export async function startRedis(more: string[] = []): Promise<Server> {
  const source = await findRedis()
  return startServer({
    name: 'Redis',
    ports: 1,
    url: (port) => `redis://127.0.0.1:${port}`,
    command: (place) => command(source, place, more),
    answers: ping,
    discard: source.kind === 'docker' ? removeVolume : undefined,
  })
}

function command(source: Source, place: Place, more: string[]) {
  // By default (everysec) Redis answers before it writes while the disk is busy with what came before; with `no` it never
  // does, and what is written outlives the process: only the machine's end could lose it.
  const file = ['--appendonly', 'yes', '--appendfsync', 'no', '--save', '']
  const durable = [...file, '--maxmemory-policy', 'noeviction', ...more]
  if (source.kind === 'docker') {
    const args = ['redis-server', ...durable]
    return dockerRun({ image: source.image, place, port: 6379, data: '/data', args })
  }
  const where = ['--bind', '127.0.0.1', '--port', String(place.ports[0]), '--dir', place.data]
  return { file: source.file, args: [...source.args, ...where, ...durable], env: source.env }
}

function ping(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', timeout: 1000 })
    socket.once('connect', () => socket.write('PING\r\n'))
    socket.once('timeout', () => socket.destroy(new Error('no answer to PING')))
    socket.once('error', reject)
    socket.once('data', (data) => {
      socket.destroy()
      // While it reads its file it answers -LOADING; -NOAUTH comes from one that is there and wants a password.
      if (/^(\+PONG|-NOAUTH)/.test(data.toString())) resolve()
      else reject(new Error(data.toString()))
    })
    socket.once('close', () => reject(new Error('connection closed')))
  })
}

async function fetchRedis(): Promise<Source> {
  const folder = await cached(
    `redis-${distribution()}-${arch()}`,
    'Redis (Debian package redis-server, 2 MB)',
    async (folder) => {
      await unpackDebian('redis-server', folder)
      await run(join(folder, 'usr/bin/redis-server'), ['--version'], { env: unpackedEnvironment(folder) })
    },
  )
  return { kind: 'program', file: join(folder, 'usr/bin/redis-server'), args: [], env: unpackedEnvironment(folder) }
}
