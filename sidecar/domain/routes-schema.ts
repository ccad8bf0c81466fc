import { MAX_ROUTES } from './route-document.ts'
import { type JsonSchema, NEEDS_TOKEN, ROUTE_FIELDS } from './route-fields.ts'

/**
 * The JSON Schema (draft 07) of the routes file, for editors and CI. Whatever it refuses `parseRoutes` refuses too; what
 * takes more than a schema to see (patterns, repeated names, rules never reached) only `parseRoutes` finds.
 */
export function routesSchema(): JsonSchema {
  const properties = Object.fromEntries(
    Object.entries(ROUTE_FIELDS).map(([name, { meaning, schema }]) => [name, { description: meaning, ...schema }]),
  )
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Routes of a Sallyport sidecar',
    type: 'object',
    required: ['routes'],
    additionalProperties: false,
    properties: {
      $schema: { description: 'The address of this schema, for editors.' },
      routes: {
        description:
          'The rules in their order: the first that matches decides. Where none does, a valid token is needed.',
        type: 'array',
        maxItems: MAX_ROUTES,
        items: { $ref: '#/definitions/route' },
      },
    },
    definitions: {
      route: {
        type: 'object',
        required: ['path'],
        additionalProperties: false,
        properties,
        allOf: [without(['public', 'optional'], NEEDS_TOKEN), without(['public'], ['staleness'])],
      },
    },
  }
}

/** Where `access` is one of these, these fields may not be there. */
function without(access: string[], fields: string[]): JsonSchema {
  return {
    if: { properties: { access: { enum: access } }, required: ['access'] },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: { properties: Object.fromEntries(fields.map((field) => [field, false])) },
  }
}
