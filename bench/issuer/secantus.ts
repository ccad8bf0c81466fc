import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { MongoClient } from 'mongodb'
import { cached } from '../../test/servers/cache.ts'
import { run } from '../../test/servers/command.ts'
import { startMongo } from '../../test/servers/mongo.ts'
import { type Server, startServer } from '../../test/servers/server.ts'

const VERSION = '0.5.3-beta.196'
const BUILD_DEADLINE_MS = 45 * 60_000

/** A server of MongoDB's wire protocol for figures, and what it is. */
export interface MongoServer {
  url: string
  what: string
  /** The process, unless it is somebody else's. */
  pid: number | undefined
  stop(): Promise<void>
}

/**
 * The server that `TEST_MONGO_URL` names, else secantusd-rs, built once into the cache (minutes), else whatever the
 * tests use, which is said in `what`.
 * @param cacheMb of the server's own cache: megabytes
 */
export async function startBenchMongo(cacheMb = 512): Promise<MongoServer> {
  const given = process.env.TEST_MONGO_URL
  if (given) return { url: given, what: 'the MongoDB of TEST_MONGO_URL', pid: undefined, stop: async () => {} }
  try {
    const server = await startSecantus(cacheMb)
    return describe(server, `secantusd-rs ${VERSION} (MongoDB wire protocol, one node, --sync-on-commit)`)
  } catch (error) {
    const server = await startMongo()
    const reason = (error as Error).message.split('\n', 1)[0]
    return describe(server, `the MongoDB of the tests, SLOWER than secantusd-rs, which can't be had: ${reason}`)
  }
}

function describe(server: Server, what: string): MongoServer {
  return { url: server.url, what, pid: server.pid, stop: server.stop }
}

async function startSecantus(cacheMb: number): Promise<Server> {
  const file = join(await fetchSecantus(), 'bin', 'secantusd-rs')
  if (!existsSync(file)) throw new Error(`${file} is not there`)
  const url = (port: number) => `mongodb://127.0.0.1:${port}/?directConnection=true`
  return startServer({
    name: 'MongoDB',
    ports: 1,
    url,
    command: ({ ports, data }) => ({
      file,
      args: ['--port', String(ports[0]), '--storage-path', data, '--sync-on-commit', '--cache-size', `${cacheMb}M`],
    }),
    async answers(port) {
      const client = new MongoClient(url(port), { serverSelectionTimeoutMS: 500, connectTimeoutMS: 500 })
      try {
        const hello = await client.db('admin').command({ hello: 1 })
        if (!hello.isWritablePrimary) throw new Error('not primary yet')
      } finally {
        await client.close()
      }
    },
  })
}

function fetchSecantus(): Promise<string> {
  return cached(`secantus-mdb-${VERSION}`, `secantus-mdb ${VERSION}, built with cargo (minutes)`, async (folder) => {
    const crate = ['secantus-mdb', '--version', VERSION, '--ignore-rust-version']
    await run('cargo', ['install', ...crate, '--root', folder], { timeout: BUILD_DEADLINE_MS })
  })
}
