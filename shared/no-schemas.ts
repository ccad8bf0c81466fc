import type { FastifyServerOptions } from 'fastify'

const refuse = () => () => {
  throw new Error('routes have no schemas here')
}

/**
 * For a Fastify whose routes have no schemas to validate or serialize by. Unless it is told so it loads ajv and
 * fast-json-stringify, which are 100 modules and 4 of 100 MB resident.
 */
export const NO_SCHEMAS = {
  schemaController: { compilersFactory: { buildValidator: refuse, buildSerializer: refuse } },
} satisfies FastifyServerOptions
