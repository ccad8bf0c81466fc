import { join } from 'node:path'
import { MongoClient } from 'mongodb'
import { cached } from './cache.ts'
import { onPath } from './command.ts'
import { dockerRun, removeVolume } from './docker.ts'
import { pipInstall, virtualEnvironment } from './python.ts'
import { type Place, type Server, startServer } from './server.ts'
import { findSource, ServerUnavailable, type Source } from './sources.ts'

const secantus = '0.7.0b3'
const replicaSet = 'sallyport-test'

/** Where a server of MongoDB's wire protocol comes from on this machine; fetches it if need be. Throws ServerUnavailable. */
export const findMongo = (): Promise<Source> =>
  findSource({
    kind: 'mongo',
    name: 'MongoDB',
    variable: 'TEST_MONGO_URL',
    image: 'mongo:8',
    installed: () => {
      const file = onPath('mongod')
      return file === undefined ? undefined : { kind: 'program', file, args: [] }
    },
    hint: 'mongod',
    // No registry carries mongod itself.
    fetch: fetchSecantus,
  })

/** A SecantusDB that speaks TLS alone and lets in only the user that it is given. */
export interface SecureMongo {
  certFile: string
  keyFile: string
  caFile: string
  user: string
  password: string
}

/**
 * Starts a SecantusDB with TLS and SCRAM. (A mongod would need a key file for its replica set as well.)
 * @throws ServerUnavailable where the machine has another server for MongoDB's protocol
 */
export async function startSecureMongo({ certFile, keyFile, caFile, user, password }: SecureMongo): Promise<Server> {
  const source = await findMongo()
  if (source.kind !== 'program' || source.file === onPath('mongod')) {
    throw new ServerUnavailable('SecantusDB is needed for this, and there is another server')
  }
  const tls = ['--tls-cert-file', certFile, '--tls-key-file', keyFile]
  const address = (port: number, login = '') =>
    `mongodb://${login}localhost:${port}/?directConnection=true&tls=true&tlsCAFile=${encodeURIComponent(caFile)}`
  let more = tls
  const server = await startServer({
    name: 'MongoDB',
    ports: 1,
    url: (port) => `mongodb://${user}:${encodeURIComponent(password)}@localhost:${port}/?directConnection=true`,
    command: (place) => {
      const { args, ...rest } = secantusCommand(source, place)
      return { ...rest, args: [...args, ...more] }
    },
    answers: (port) => isPrimary(port, address(port)),
  })
  // The user is made before it asks for one.
  const port = Number(new URL(server.url).port)
  const roles = [{ role: 'root', db: 'admin' }]
  const create = (client: MongoClient) => client.db('admin').command({ createUser: user, pwd: password, roles })
  await withAdmin(address(port), create, 30_000)
  await server.stopKeepingData()
  more = [...tls, '--auth']
  await server.start()
  return server
}

/**
 * Starts a MongoDB of the caller's own: one node of a replica set, so that transactions and change streams work.
 * @param options whether what it acknowledges is to survive `kill`: each write then waits for the disk
 */
export async function startMongo({ survivesKill = true } = {}): Promise<Server> {
  const source = await findMongo()
  const isSecantus = source.kind === 'program' && source.file !== onPath('mongod')
  return startServer({
    name: 'MongoDB',
    ports: 1,
    url,
    command: (place) => (isSecantus ? secantusCommand(source, place, survivesKill) : mongodCommand(source, place)),
    answers: isSecantus ? (port) => isPrimary(port) : (port) => initiated(port),
    discard: source.kind === 'docker' ? removeVolume : undefined,
  })
}

const url = (port: number): string => `mongodb://127.0.0.1:${port}/?directConnection=true`

function mongodCommand(source: Source, place: Place) {
  const port = place.ports[0]
  const args = ['--replSet', replicaSet, '--port', String(port)]
  if (source.kind === 'docker') {
    // The same port inside and outside: the replica set's member has one address, which must hold on both sides.
    const all = ['mongod', ...args, '--bind_ip_all']
    return dockerRun({ image: source.image, place, port, data: '/data/db', args: all })
  }
  return { file: source.file, args: [...args, '--bind_ip', '127.0.0.1', '--dbpath', place.data] }
}

function secantusCommand(source: Source & { kind: 'program' }, place: Place, survivesKill = true) {
  const where = ['--host', '127.0.0.1', '--port', String(place.ports[0]), '--storage-path', place.data]
  // Without --sync-on-commit an acknowledged first write to a new collection was seen lost after SIGKILL.
  const sync = survivesKill ? ['--sync-on-commit'] : []
  const args = [...source.args, ...where, ...sync, '--cache-size', '256M', '--log-level', 'WARNING']
  return { file: source.file, args, env: source.env }
}

/** @param patienceMs short where it is tried again and again */
async function withAdmin<T>(address: string, work: (client: MongoClient) => Promise<T>, patienceMs = 500): Promise<T> {
  const client = new MongoClient(address, { serverSelectionTimeoutMS: patienceMs, connectTimeoutMS: patienceMs })
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}

function isPrimary(port: number, address = url(port)): Promise<void> {
  return withAdmin(address, async (client) => {
    const hello = await client.db('admin').command({ hello: 1 })
    if (!hello.isWritablePrimary) throw new Error('not primary yet')
  })
}

async function initiated(port: number): Promise<void> {
  await withAdmin(url(port), async (client) => {
    const hello = await client.db('admin').command({ hello: 1 })
    if (hello.setName !== undefined || !hello.isreplicaset) return
    const members = [{ _id: 0, host: `127.0.0.1:${port}` }]
    await client.db('admin').command({ replSetInitiate: { _id: replicaSet, members } })
  })
  await isPrimary(port)
}

async function fetchSecantus(): Promise<Source> {
  const folder = await cached(
    `secantusdb-${secantus}`,
    `SecantusDB ${secantus} (Python package, 60 MB)`,
    async (folder) => {
      await virtualEnvironment(folder)
      await pipInstall(folder, [`SecantusDB==${secantus}`])
    },
  )
  // Not its console script: that names the folder in which it was installed, before it got its name in the cache.
  const args = ['-c', 'import sys; from secantus.cli import main; sys.exit(main())']
  return { kind: 'program', file: join(folder, 'bin/python'), args }
}
