import type { FastifySchemaValidationError } from 'fastify'

/** What ajv says with `verbose`. */
interface Violation extends FastifySchemaValidationError {
  parentSchema?: { description?: string; properties?: object; anyOf?: { type?: string }[] }
}

const TYPES: Record<string, string> = {
  string: 'a string',
  integer: 'a whole number',
  boolean: 'true or false',
  array: 'an array',
  object: 'an object',
}

/**
 * What is wrong with a part of a request, a line for each thing: where it is and what is asked for, in words.
 * @param part what was looked at: `body`, `querystring`, `params`
 */
export function validationErrors(violations: Violation[], part: string): string[] {
  const unions = violations.filter(({ keyword }) => keyword === 'anyOf').map(({ schemaPath }) => `${schemaPath}/`)
  // A value of none of several types hurts each of them: the line about all of them says it.
  const isOfUnion = ({ schemaPath }: Violation) => unions.some((union) => schemaPath.startsWith(union))
  return violations
    .filter((violation) => !(violation.keyword === 'type' && isOfUnion(violation)))
    .filter((violation) => !(violation.keyword === 'anyOf' && violations.some(hurtsMoreThanType(violation))))
    .map((violation) => {
      const { missingProperty } = violation.params
      const place = `${part}${violation.instancePath}${missingProperty === undefined ? '' : `/${missingProperty}`}`
      return `${place}: ${wordsOf(violation)}`
    })
}

/** A value that is of one of the types and has another fault: that one alone is told. */
function hurtsMoreThanType(union: Violation) {
  return ({ keyword, schemaPath }: Violation) => schemaPath.startsWith(`${union.schemaPath}/`) && keyword !== 'type'
}

function wordsOf({ keyword, params, message = '', parentSchema = {} }: Violation): string {
  const { description, properties = {}, anyOf = [] } = parentSchema
  switch (keyword) {
    case 'additionalProperties':
      return `${JSON.stringify(params.additionalProperty)} is not known here`
    case 'required':
      return 'is needed'
    case 'minProperties':
      return `at least one of ${Object.keys(properties).join(', ')} is needed`
    case 'enum':
      return `must be one of ${(params.allowedValues as string[]).join(', ')}`
    case 'const':
      return `must be ${params.allowedValue}`
    // The expression itself would be no help.
    case 'pattern':
    case 'format':
      return `must be ${description}`
    case 'type':
      return `must be ${typeWords(params.type as string)}`
    case 'anyOf':
      return `must be ${anyOf.map(({ type = '' }) => typeWords(type)).join(' or ')}`
    case 'minLength':
      return params.limit === 1 ? 'must not be empty' : message
    default:
      return message.replace('NOT', 'not')
  }
}

function typeWords(type: string): string {
  return TYPES[type] ?? type
}
