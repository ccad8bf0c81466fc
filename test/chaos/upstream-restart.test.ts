import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Test, test } from 'tap'
import { Agent, request } from 'undici'
import { eventually } from '../helpers/eventually.ts'
import { freePort } from '../helpers/port.ts'
import { type NodeProcess, startNode } from '../helpers/process.ts'
import { startProxy } from '../helpers/sidecar-proxy.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const SERVICE = fileURLToPath(new URL('../helpers/journal-service.ts', import.meta.url))
const CLIENTS = 24
/** As many are answered before each restart. */
const BETWEEN = 300
const DEADLINE = { within: 60_000 }

interface Outcome {
  target: string
  /** 0: there was no whole answer. */
  status: number
  beganAt: number
  endedAt: number
}

/** Requests without a break, from as many clients, each with a target of its own, until it is told to stop. */
function ask(url: string) {
  const agent = new Agent({ connections: CLIENTS, pipelining: 1 })
  const outcomes: Outcome[] = []
  let stopped = false
  let next = 0
  const one = async () => {
    while (!stopped) {
      const n = next++
      const target = `/${n}?bytes=${[10, 5000, 200_000][n % 3]}`
      // Every other one has a body, and not all methods may be repeated.
      const sent = n % 2 ? { method: 'POST' as const, body: Buffer.alloc(n % 4 === 1 ? 100 : 50_000) } : {}
      const beganAt = performance.now()
      const status = await request(`${url}${target}`, { dispatcher: agent, ...sent }).then(
        async ({ statusCode, body }) => {
          const text = await body.text().catch(() => undefined)
          if (statusCode !== 200 || text === undefined) return text === undefined ? 0 : statusCode
          return text.startsWith(`${sent.body?.length ?? 0}\n`) ? 200 : -1
        },
        () => 0,
      )
      outcomes.push({ target, status, beganAt, endedAt: performance.now() })
      // A refusal costs next to nothing: thousands of them would only warm the machine.
      if (status !== 200) await pause(20)
    }
  }
  const asking = Promise.all(Array.from({ length: CLIENTS }, one))
  return {
    outcomes,
    served: () => outcomes.reduce((count, { status }) => count + (status === 200 ? 1 : 0), 0),
    async stop() {
      stopped = true
      await asking
      await agent.destroy()
    },
  }
}

async function startService(t: Test, journal: string, port: number): Promise<NodeProcess> {
  const service = startNode(t, SERVICE, { args: [journal, String(port)] })
  await service.waitForLine(/^listening on/, 90_000)
  return service
}

test('a service that restarts under load: nothing is sent twice, and only what was under way fails', {
  timeout: 300_000,
}, async (t) => {
  const journal = join(temporaryFolder(t), 'journal')
  writeFileSync(journal, '')
  const port = await freePort()
  let service = await startService(t, journal, port)
  const proxy = await startProxy(t, `http://127.0.0.1:${port}`, {
    routes: [{ name: 'open', path: '/**', access: 'public' }],
  })
  const load = ask(proxy.url)
  t.teardown(load.stop)
  const away: { from: number; to: number }[] = []
  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGKILL'] as const) {
    const before = load.served()
    await eventually(() => load.served() >= before + BETWEEN, { ...DEADLINE, message: `served before ${signal}` })
    const from = performance.now()
    await service.kill(signal, 60_000)
    await eventually(() => load.outcomes.slice(-20).every(({ status }) => status === 502), DEADLINE)
    service = await startService(t, journal, port)
    away.push({ from, to: performance.now() })
  }
  const before = load.served()
  await eventually(() => load.served() >= before + BETWEEN, { ...DEADLINE, message: 'served after the last restart' })
  await load.stop()

  const failed = load.outcomes.filter(({ status }) => status !== 200)
  const underWay = ({ beganAt, endedAt }: Outcome) => away.some(({ from, to }) => beganAt <= to && endedAt >= from)
  t.same(
    failed.filter((outcome) => !underWay(outcome)),
    [],
    'what began when the service was there was served',
  )
  const cut = failed.filter(({ status }) => status === 0)
  t.same(
    failed.filter(({ status }) => ![0, 502, 503, 504].includes(status)),
    [],
  )
  t.ok(cut.length <= 2 * CLIENTS, 'an answer is broken off only where it had begun when the service was killed')

  const arrived = readFileSync(journal, 'utf8').split('\n').filter(Boolean)
  t.equal(new Set(arrived).size, arrived.length, 'nothing arrived twice')
  const known = new Set(arrived)
  t.same(
    load.outcomes.filter(({ target, status }) => status === 200 && !known.has(target)),
    [],
  )
  await eventually(() => proxy.openStreams.size === 0)
  t.comment(
    `${load.outcomes.length} requests, ${load.served()} served, ${failed.length - cut.length} refused, ${cut.length} cut; ` +
      `${arrived.length} arrived`,
  )
})
