import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { type Test, test } from 'tap'
import { PROBLEMS } from '../../../shared/problem.ts'
import { sendRaw } from '../../helpers/raw-http.ts'
import { uniqueName } from '../../helpers/unique-name.ts'
import { missingShared, sharedUrl } from '../../servers/shared.ts'
import { ATTACKS, get, MESSAGES, OPERATORS, type Row } from '../attacks.ts'
import { type Draft, type Mutation, mutationsOf, written } from '../bad-requests.ts'
import { type BuiltIssuer, buildIssuer, PASSWORD } from '../build.ts'
import { type Actor, createWorld, draftOf, NO_BEARER, type World } from '../good-requests.ts'
import { fitting, oddHeaders, segment } from '../odd-values.ts'
import type { RecordedRoute } from '../recorded-routes.ts'
import { superuserToken } from '../service-client.ts'
import { mongoContents } from '../stored-contents.ts'

/** Of each route: bad requests are refused early, good ones are written to a disk. */
const RUNS = { bad: 25, good: 12 }

/** Routes that are read through caches and by probes, which add queries of their own, and those of RFC 6749 section 3.2. */
const IGNORES_QUERY =
  /^(\*|\/(docs|openapi\.json|\.well-known|livez|readyz|health|metrics|revocations$|oauth\/|auth\/(access-)?token$))/
const OAUTH = ['/auth/token', '/auth/access-token', '/oauth/introspect', '/oauth/revoke']

/** What this issuer has done until now, as far as anyone can see it. */
function doneBy({ issuer, stored }: World) {
  return { stored: stored.read(), mails: issuer.mails.length, events: issuer.events.length }
}

interface Answered {
  statusCode: number
  headers: Record<string, unknown>
  body: string
}

// Stack traces, and words of what is below.
const INSIDE = /\n\s+at |node:internal|node_modules|\.[jt]s:\d|FST_|ERR_|SQLITE|Mongo|TypeError|SyntaxError/
const MAX_REFUSAL = 8192

/** What is wrong with an answer that refuses; `undefined` when nothing is. */
function faultOf(
  answer: Answered,
  { method, url }: { method: string; url: string },
  secrets: string[],
): string | undefined {
  const { statusCode: status, headers, body } = answer
  const type = String(headers['content-type'])
  const shown = `${status} ${type} ${body.slice(0, 300)}`
  if (status < 400 || status > 499) return `no refusal: ${shown}`
  if (body.length > MAX_REFUSAL) return `too long: ${body.length} bytes`
  if (INSIDE.test(body)) return `shows the inside: ${shown}`
  if (secrets.some((secret) => body.includes(secret))) return `shows a secret: ${shown}`
  // What no route was found for, or what refuses before any, has one form everywhere.
  const refusedBefore = [404, 405].includes(status) || (status === 403 && type.startsWith('application/problem+json'))
  const byRoute = OAUTH.includes(url) && !refusedBefore
  if (!type.startsWith(byRoute ? 'application/json' : 'application/problem+json')) return `of another type: ${shown}`
  if (method === 'HEAD') return undefined
  const said = JSON.parse(body) as Record<string, unknown>
  if (byRoute) {
    return typeof said.error === 'string' && typeof said.error_description === 'string'
      ? undefined
      : `no error: ${shown}`
  }
  const isProblem = said.type === 'about:blank' && said.status === status && Object.hasOwn(PROBLEMS, String(said.code))
  return isProblem ? undefined : `no problem document: ${shown}`
}

test('a good request to each route succeeds: the bad ones are mutations of it', async (t) => {
  const world = await createWorld(t)
  const { issuer, stored, routes, bodies, actors } = world
  const before = stored.read()
  const unknown = routes.filter(({ method, url, schema }) => schema.body && !bodies[`${method} ${url}`])
  t.same(unknown, [], 'every route with a body has one here')
  for (const route of routes) {
    const is = route.url.startsWith('/revocations') ? 'a sidecar' : 'a superuser'
    const { statusCode, body } = await issuer.app.inject(written(draftOf(world, route, actorNamed(actors, is))))
    t.ok(statusCode < 400, `${route.method} ${route.url}: ${statusCode} ${statusCode < 400 ? '' : body}`)
    stored.restore(before)
    await issuer.keySet.reload()
  }
})

const actorNamed = (actors: Actor[], wanted: Actor['name']) => actors.find(({ name }) => name === wanted)!

test('whatever is wrong with a request to any route, it is refused and nothing has happened', async (t) => {
  const world = await createWorld(t)
  const before = doneBy(world)
  const superuser = actorNamed(world.actors, 'a superuser')
  const tried = new Set<RecordedRoute>()
  for (const route of world.routes) {
    const send = async (actor: Actor, mutations: readonly Mutation[]) => {
      const draft = draftOf(world, route, actor)
      // The text is that of what the fields have become.
      const inOrder = mutations.toSorted((a, b) => Number(a.place === 'text') - Number(b.place === 'text'))
      for (const { apply } of inOrder) Object.assign(draft, apply(draft))
      const answer = await world.issuer.app.inject(written(draft))
      const what = `${actor.name}: ${mutations.map(({ name }) => name).join(' and ')}`
      await mustBeRefused(world, answer, draft, before, what)
    }
    const all = mutationsOf(route, IGNORES_QUERY.test(route.url))
    // Each once by whoever may do most, then any of them together by anyone.
    for (const mutation of all)
      await send(superuser, [mutation]).catch(({ message }) => t.fail(`${nameOf(route)}: ${message}`))
    const selector = ({ place }: Mutation) => place
    const some = fc.uniqueArray(fc.constantFrom(...all), { minLength: 1, maxLength: 3, selector })
    const inputs = fc.tuple(fc.constantFrom(...world.actors), some)
    await holds(t, route, inputs, RUNS.bad, async ([actor, mutations]) => send(actor, mutations))
    if (all.length > 0) tried.add(route)
  }
  t.same(world.routes.filter((route) => !tried.has(route)).map(nameOf), [], 'every route was tried')
})

test('nothing that the schemas take, and no header, makes any route fail', async (t) => {
  const world = await createWorld(t)
  const before = doneBy(world)
  for (const route of world.routes) {
    const { body, querystring } = route.schema
    const inputs = fc.record({
      actor: fc.constantFrom(...world.actors),
      body: body ? fitting(body) : fc.constant(undefined),
      query: querystring ? (fitting(querystring) as fc.Arbitrary<Record<string, string>>) : fc.constant({}),
      headers: oddHeaders,
      value: fc.option(segment, { nil: undefined }),
    })
    await holds(t, route, inputs, RUNS.good, async ({ actor, body, query, headers, value }) => {
      const draft = draftOf(world, route, actor)
      const names = Object.keys(draft.params)
      const params = value === undefined ? draft.params : Object.fromEntries(names.map((name) => [name, value]))
      Object.assign(draft, { body, params, query: new URLSearchParams(query).toString() })
      Object.assign(draft.headers, headers)
      const answer = await world.issuer.app.inject(written(draft))
      if (answer.statusCode >= 400) return mustBeRefused(world, answer, draft, before, actor.name)
      await undo(world, before)
    })
  }
})

const nameOf = ({ method, url }: RecordedRoute) => `${method} ${url}`

/** Asserts that something holds for a route whatever the input; says what it was for which it does not. */
async function holds<T>(
  t: Test,
  route: RecordedRoute,
  inputs: fc.Arbitrary<T>,
  numRuns: number,
  check: (input: T) => Promise<void>,
) {
  const { failed, seed, errorInstance, counterexample } = await fc.check(fc.asyncProperty(inputs, check), { numRuns })
  const shown = () =>
    `${(errorInstance as Error).message} (seed ${seed}, ${JSON.stringify(counterexample).slice(0, 500)})`
  t.notOk(failed, failed ? `${nameOf(route)}: ${shown()}` : nameOf(route))
}

type Done = ReturnType<typeof doneBy>

async function mustBeRefused(world: World, answer: Answered, draft: Draft, before: Done, what: string): Promise<void> {
  const fault = faultOf(answer, draft, world.secrets)
  const hasDone = await undo(world, before)
  if (fault !== undefined) throw new Error(`${what}: ${fault}`)
  if (hasDone) throw new Error(`${what}: refused with ${answer.statusCode}, and yet something has happened`)
}

/** @returns whether there was anything to undo */
async function undo(world: World, before: Done): Promise<boolean> {
  if (isDeepStrictEqual(doneBy(world), before)) return false
  const { issuer, stored } = world
  stored.restore(before.stored)
  issuer.mails.length = before.mails
  issuer.events.length = before.events
  await issuer.keySet.reload()
  return true
}

/** Sends the rows as a superuser and as nobody, and says which of them was not refused as it has to be. */
async function refusedRows(t: Test, { app }: BuiltIssuer, authorization: string, rows: Row[], done: () => unknown) {
  const before = await done()
  for (const [name, method, url, body] of rows) {
    for (const credential of [authorization, undefined]) {
      const isForm = typeof body === 'string'
      const answer = await app.inject({
        method,
        url,
        headers: {
          ...(credential && !NO_BEARER.includes(url) && { authorization: credential }),
          ...(body !== undefined && {
            'content-type': isForm ? 'application/x-www-form-urlencoded' : 'application/json',
          }),
        },
        ...(body !== undefined && { payload: isForm ? body : JSON.stringify(body) }),
      })
      t.equal(
        faultOf(answer, { method, url }, [PASSWORD]),
        undefined,
        `${name}, ${credential ? 'with' : 'without'} a token`,
      )
      t.same(await done(), before, `${name}: nothing has happened`)
    }
  }
}

test('known attacks are refused, and nothing is stored in SQLite', async (t) => {
  const world = await createWorld(t)
  const { authorization } = actorNamed(world.actors, 'a superuser')
  await refusedRows(t, world.issuer, authorization!, [...OPERATORS, ...ATTACKS], () => doneBy(world))
})

test('operators stay text in MongoDB', { skip: await missingShared('mongo') }, async (t) => {
  const url = new URL(await sharedUrl('mongo'))
  url.pathname = `/${uniqueName('bad-input')}`
  const read = await mongoContents(t, url.href)
  const issuer = await buildIssuer(t, { stores: { MONGO_URL: url.href } })
  await issuer.register({ username: 'plain' })
  const token = await superuserToken(issuer)
  await refusedRows(t, issuer, `Bearer ${token}`, OPERATORS, async () => [await read(), issuer.mails, issuer.events])
})

test('what is no proper HTTP is refused, and nothing is stored', async (t) => {
  const world = await createWorld(t)
  const { app } = world.issuer
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as { port: number }
  const before = doneBy(world)
  const answers = await Promise.all(MESSAGES.map(([, bytes]) => sendRaw(port, bytes)))
  for (const [index, [name, , status]] of MESSAGES.entries()) {
    const { text, statuses } = answers[index]!
    t.same(statuses, [status], name)
    const [head = '', body = ''] = text.split('\r\n\r\n')
    t.match(head, /^content-type: application\/problem\+json/im, `${name}: a problem document`)
    t.match(JSON.parse(body || '{}'), { status, code: String }, `${name}: which says so`)
    t.notMatch(text, INSIDE, `${name}: and nothing of the inside`)
  }
  t.same(doneBy(world), before, 'nothing has happened')
  t.same((await sendRaw(port, get('/livez'))).statuses, [200], 'and it goes on')
})
