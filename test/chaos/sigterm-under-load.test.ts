import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import { test } from 'tap'
import { call } from '../helpers/client.ts'
import { eventually } from '../helpers/eventually.ts'
import { type KeptConnection, useConnection } from '../helpers/keep-alive-client.ts'
import { startOpenSidecar } from '../helpers/open-sidecar.ts'
import { serve } from '../helpers/serve.ts'

const CLIENTS = 32
const DEADLINE = { within: 60_000 }

// Whoever waited for it would be seen: it is longer than the test.
const DRAIN_DEADLINE = '10m'

/** A service that answers after a few milliseconds, and remembers what it was asked for. */
function answering() {
  const arrived = new Set<string>()
  const listener: RequestListener = ({ url }, response) => {
    arrived.add(url!)
    const body = Buffer.alloc(arrived.size % 3 ? 100 : 100_000, 'x')
    setTimeout(() => response.writeHead(200, { 'content-length': body.length }).end(body), Math.random() * 20)
  }
  return { arrived, listener }
}

/** Clients that use a connection for as long as they may, and then another. */
function load(url: string) {
  const connections: KeptConnection[] = []
  let next = 0
  let stopped = false
  const one = async () => {
    for (let last: KeptConnection | undefined; !stopped && last?.requests.at(-1)?.outcome !== 'refused'; ) {
      last = await useConnection(
        url,
        () => `/${next++}`,
        () => stopped,
        () => false,
      )
      connections.push(last)
    }
  }
  const running = Promise.all(Array.from({ length: CLIENTS }, one))
  return {
    asked: () => next,
    async stop() {
      stopped = true
      await running
      return connections
    },
    /** Until every client was refused a connection. */
    async untilRefused() {
      await running
      return connections
    },
  }
}

const requestsOf = (connections: KeptConnection[]) => connections.flatMap(({ requests }) => requests)

test('SIGTERM under load, clients that look at /readyz: not one request is lost', { timeout: 300_000 }, async (t) => {
  const service = answering()
  const sidecar = await startOpenSidecar(t, await serve(t, createServer(service.listener)), {
    DRAIN_DELAY: '8s',
    DRAIN_DEADLINE,
  })
  const clients = load(sidecar.url)
  await eventually(() => clients.asked() > 1000, DEADLINE)
  const stopping = sidecar.stop('SIGTERM', 60_000)
  await eventually(async () => {
    const { body } = await call<{ checks: { name: string; ok: boolean }[] }>(`${sidecar.adminUrl}/readyz`)
    return body.checks.some(({ name, ok }) => name === 'serving' && !ok)
  }, DEADLINE)
  const whenTold = clients.asked()
  await eventually(() => clients.asked() > whenTold + 200, { ...DEADLINE, message: 'it goes on serving' })
  const connections = await clients.stop()
  t.match(await stopping, { code: 0 })
  const requests = requestsOf(connections)
  t.same(
    requests.filter(({ outcome, status }) => outcome !== 'answered' || status !== 200),
    [],
  )
  const told = connections.filter(({ wasTold }) => wasTold)
  t.ok(told.length >= CLIENTS, 'every connection was given up in good order')
  t.ok(told.every(({ wasEnded }) => wasEnded))
  t.comment(`${requests.length} requests over ${connections.length} connections`)
})

test('SIGTERM under load, clients that do not care: what has been accepted is answered, and whole', {
  timeout: 300_000,
}, async (t) => {
  const service = answering()
  const sidecar = await startOpenSidecar(t, await serve(t, createServer(service.listener)), { DRAIN_DEADLINE })
  const clients = load(sidecar.url)
  await eventually(() => clients.asked() > 1000, DEADLINE)
  const stopping = sidecar.stop('SIGTERM', 60_000)
  const requests = requestsOf(await clients.untilRefused())
  t.match(await stopping, { code: 0 })
  t.same(
    requests.filter(({ outcome, target }) => outcome !== 'answered' && service.arrived.has(target)),
    [],
  )
  t.same(
    requests.filter(({ outcome }) => outcome === 'cut'),
    [],
  )
  t.same(
    requests.filter(({ outcome, status }) => outcome === 'answered' && status !== 200),
    [],
  )
  const unanswered = requests.filter(({ outcome }) => outcome === 'unanswered')
  t.comment(`${requests.length} requests, ${unanswered.length} sent when their connection had been ended`)
})

test('a download that began before SIGTERM is finished, and its connection does not hold up the end', {
  timeout: 300_000,
}, async (t) => {
  const begun: ServerResponse[] = []
  const service = createServer((_request, response) => {
    begun.push(response)
    response.writeHead(200, { 'content-length': 8 }).write('half')
  })
  const sidecar = await startOpenSidecar(t, await serve(t, service), { DRAIN_DEADLINE })
  let asked = 0
  const connections = Array.from({ length: 5 }, () =>
    useConnection(
      sidecar.url,
      () => `/${asked++}`,
      () => asked === 5,
      () => true,
    ),
  )
  await eventually(() => begun.length === 5, DEADLINE)
  const stopping = sidecar.stop('SIGTERM', 60_000)
  await eventually(() => sidecar.log().some(({ msg }) => msg === 'draining'), DEADLINE)
  await eventually(() => isRefused(sidecar.url), DEADLINE)
  for (const response of begun) response.end('half')
  for (const { requests, wasEnded } of await Promise.all(connections)) {
    t.match(requests, [{ outcome: 'answered', status: 200 }])
    t.ok(wasEnded)
  }
  t.match(await stopping, { code: 0 })
})

async function isRefused(url: string): Promise<boolean> {
  const { requests } = await useConnection(
    url,
    () => '/',
    () => true,
    () => false,
  )
  return requests[0]?.outcome === 'refused'
}
