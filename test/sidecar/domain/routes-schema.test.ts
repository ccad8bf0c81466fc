import fc from 'fast-check'
import Fastify from 'fastify'
import { type Test, test } from 'tap'
import { parseRoutes } from '../../../sidecar/domain/route-document.ts'
import { routesSchema } from '../../../sidecar/domain/routes-schema.ts'

/** A validator that changes nothing in what it looks at, and knows every keyword of the schema. */
async function validator(t: Test): Promise<(document: unknown) => boolean> {
  const app = Fastify({
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false, strict: true } },
  })
  t.teardown(() => app.close())
  let validate: ((document: unknown) => boolean) | undefined
  app.get('/', async (request) => {
    validate = request.compileValidationSchema(routesSchema()) as (document: unknown) => boolean
    return {}
  })
  await app.inject('/')
  if (!validate) throw new Error('the schema cannot be compiled')
  return validate
}

const rule = (fields: object) => ({ routes: [{ path: '/a', ...fields }] })

test('the schema takes what is right and refuses what is wrong', async (t) => {
  const validate = await validator(t)
  const everything = {
    name: 'n',
    methods: ['GET'],
    access: 'required',
    roles: ['a'],
    scopes: ['a:b'],
    claims: { tier: 'pro', level: 3, beta: true },
    verifiedEmail: true,
    staleness: 'open',
    timeout: '30s',
    bodyLimit: '1MiB',
  }
  for (const right of [{ routes: [] }, { $schema: 'x', routes: [] }, rule({}), rule(everything)]) {
    t.equal(parseRoutes(right).ok, true, JSON.stringify(right))
    t.equal(validate(right), true, JSON.stringify(right))
  }
  for (const wrong of [
    null,
    [],
    {},
    { routes: {} },
    { routes: [1] },
    { routes: [{}] },
    { routes: [], more: 1 },
    rule({ path: 'a' }),
    rule({ acess: 'public' }),
    rule({ access: 'none' }),
    rule({ methods: ['get'] }),
    rule({ methods: [] }),
    rule({ access: 'public', roles: ['a'] }),
    rule({ access: 'optional', verifiedEmail: false }),
    rule({ access: 'public', staleness: 'open' }),
    rule({ scopes: ['a b'] }),
    rule({ claims: { a: [1] } }),
    rule({ timeout: 30 }),
    rule({ timeout: '30' }),
    rule({ bodyLimit: '1MB' }),
  ]) {
    t.equal(parseRoutes(wrong).ok, false, JSON.stringify(wrong))
    t.equal(validate(wrong), false, JSON.stringify(wrong))
  }
})

test('whatever a sidecar takes, the schema takes: no editor marks what is right', async (t) => {
  const validate = await validator(t)
  let taken = 0
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom('/a', '/b/**', '/', 'public', 'required', 'optional', '30s', '5m', '0B', '2GiB', 'open', true),
    fc.array(fc.constantFrom('GET', 'PUT', 'a', 'b:c', ''), { maxLength: 3 }),
    fc.dictionary(fc.string({ maxLength: 3 }), fc.oneof(fc.string(), fc.integer(), fc.boolean()), { maxKeys: 2 }),
  )
  const { properties } = (routesSchema().definitions as { route: { properties: Record<string, object> } }).route
  const fields = Object.keys(properties)
  const rule = fc.tuple(
    fc.constantFrom('/a', '/b/**', '/'),
    fc.dictionary(fc.constantFrom(...fields), value, { maxKeys: 2 }),
  )
  const document = fc.record({
    routes: fc.array(
      rule.map(([path, more]) => ({ path, ...more })),
      { maxLength: 2 },
    ),
  })
  fc.assert(
    fc.property(document, (any) => {
      const parsed = parseRoutes(any).ok
      if (parsed && any.routes.length > 0) taken++
      return !parsed || validate(any)
    }),
    { numRuns: 10_000 },
  )
  t.ok(taken > 500, `${taken} were right`)
})
