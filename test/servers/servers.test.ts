import { readdirSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Test, test } from 'tap'
import { eventually } from '../helpers/eventually.ts'
import { isRunning, processState, startNode } from '../helpers/process.ts'
import { type Client, connectKafka, connectMongo, connectRedis } from './clients.ts'
import { startKafka } from './kafka.ts'
import { startMongo } from './mongo.ts'
import { startRedis } from './redis.ts'
import type { Server } from './server.ts'
import { type Kind, missing } from './shared.ts'

interface Kit {
  kind: Kind
  start(): Promise<Server>
  connect(url: string): Promise<Client>
}

const kits: Kit[] = [
  { kind: 'redis', start: startRedis, connect: connectRedis },
  { kind: 'mongo', start: startMongo, connect: connectMongo },
  { kind: 'kafka', start: startKafka, connect: connectKafka },
]

for (const { kind, start, connect: open } of kits) {
  test(`${kind}: acknowledged writes survive SIGKILL, on the same address`, {
    skip: await missing(kind),
  }, async (t) => {
    const server = await startFor(t, start)
    const { url, pid } = server
    const written: string[] = []
    for (let round = 0; round < 2; round++) {
      const client = await open(url)
      // Several, the first of them into something new: a server may treat the two differently.
      for (const value of [`${round}-a`, `${round}-b`, `${round}-c`]) {
        await client.write(value)
        written.push(value)
      }
      await server.kill()
      await client.close()
      t.throws(() => server.pid, /not running/)
      await server.start()
    }
    t.not(server.pid, pid, 'it is another process')
    t.equal(server.url, url)
    const client = await open(url)
    t.same((await client.readAll()).sort(), written)
    await client.close()
  })

  test(`${kind}: paused it holds connections and answers nothing, resumed it goes on`, {
    skip: await missing(kind),
  }, async (t) => {
    const server = await startFor(t, start)
    const client = await open(server.url)
    await client.write('before')
    server.pause()
    t.equal(processState(server.pid), 'T', 'stopped')
    const write = client.write('during')
    t.equal(await Promise.race([write, sleep(300, 'no answer')]), 'no answer')
    t.ok(await accepts(server.url), 'the kernel still accepts connections for it')
    server.resume()
    await write
    t.same((await client.readAll()).sort(), ['before', 'during'])
    await client.close()
  })

  test(`${kind}: stopped it is gone with its data`, { skip: await missing(kind) }, async (t) => {
    const temporary = t.testdir()
    const before = process.env.TMPDIR
    process.env.TMPDIR = temporary
    const server = await startFor(t, start)
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
    const { pid } = server
    await t.rejects(server.start(), /running already/)
    t.equal(readdirSync(temporary).length, 1)
    await server.stopKeepingData()
    t.equal(await accepts(server.url), false)
    await server.start()
    await server.stop()
    await server.stop()
    t.notOk(isRunning(pid))
    t.same(readdirSync(temporary), [])
  })
}

test('servers end with the process that started them, even when it is killed', {
  skip: await missing('redis'),
}, async (t) => {
  const script = `
    import { startRedis } from '${import.meta.resolve('./redis.ts')}'
    const server = await startRedis()
    console.log(server.url, server.pid)
    setInterval(() => {}, 1000)`
  const folder = t.testdir({ 'start.mjs': script, tmp: {} })
  const TMPDIR = join(folder, 'tmp')
  const { SALLYPORT_TEST_CACHE, XDG_CACHE_HOME } = process.env
  const child = startNode(t, join(folder, 'start.mjs'), { env: { SALLYPORT_TEST_CACHE, XDG_CACHE_HOME, TMPDIR } })
  const [, url = '', pid] = await child.waitForLine(/^(redis:\S+) (\d+)$/)
  t.ok(await accepts(url))
  await child.kill('SIGKILL')
  await eventually(() => !isRunning(Number(pid)), { message: 'the end of the server' })
  await eventually(() => readdirSync(TMPDIR).length === 0, { message: 'the end of its folder' })
})

async function startFor(t: Test, start: () => Promise<Server>): Promise<Server> {
  const server = await start()
  t.teardown(() => server.stop())
  return server
}

function accepts(url: string): Promise<boolean> {
  const port = Number(/:(\d+)(\/|$)/.exec(url)?.[1])
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    const finish = (accepted: boolean): void => {
      socket.destroy()
      resolve(accepted)
    }
    socket.once('connect', () => finish(true))
    socket.once('error', () => finish(false))
  })
}
