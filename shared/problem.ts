/**
 * Every error the two programs answer with: its stable code, its HTTP status and what it tells the client, which is
 * never why a credential was refused. Rendered as RFC 9457 `application/problem+json`.
 */
export const PROBLEMS = {
  // requests
  invalid_request: [400, 'The request is not valid'],
  invalid_target: [400, 'The request target is ambiguous or malformed'],
  credentials_conflict: [400, 'The request carries two credentials that disagree'],
  scope_invalid: [400, 'The scope is malformed or more than may be given'],
  password_rejected: [400, 'The password does not meet the rules'],
  link_invalid: [400, 'The link is not valid, or not any more'],
  not_found: [404, 'There is nothing at this address'],
  method_not_allowed: [405, 'This method is not allowed here'],
  request_timeout: [408, 'The request took too long to arrive'],
  payload_too_large: [413, 'The request body is too large'],
  unsupported_media_type: [415, 'This content type is not supported'],
  header_fields_too_large: [431, 'The request header is too large'],
  // who is asking
  token_missing: [401, 'An access token is required'],
  token_invalid: [401, 'The access token is not valid'],
  credentials_invalid: [401, 'The login or the password is wrong'],
  refresh_token_invalid: [401, 'The refresh token is not valid'],
  password_required: [403, 'The present password is needed for this'],
  password_wrong: [403, 'The present password is wrong'],
  forbidden: [403, 'This is not allowed'],
  origin_forbidden: [403, 'This origin is not allowed'],
  // state
  email_taken: [409, 'This e-mail address is taken'],
  username_taken: [409, 'This user name is taken'],
  last_superuser: [409, 'This is the last superuser who is active'],
  conflict: [409, 'The request conflicts with the present state'],
  too_many_requests: [429, 'Too many requests'],
  // not now
  internal_error: [500, 'Something went wrong here'],
  upstream_unreachable: [502, 'The service cannot be reached'],
  upstream_failed: [502, 'The service did not answer properly'],
  revocations_stale: [503, 'It cannot be known whether this token was revoked'],
  keys_unavailable: [503, 'The key of this token cannot be had at present'],
  store_unavailable: [503, 'A store is not available at present'],
  overloaded: [503, 'Too much is going on at present'],
  draining: [503, 'This instance is going down'],
  upstream_timeout: [504, 'The service did not answer in time'],
} as const satisfies Record<string, readonly [number, string]>

export type ProblemCode = keyof typeof PROBLEMS

export const PROBLEM_TYPE = 'application/problem+json'

export interface ProblemDocument {
  type: 'about:blank'
  title: string
  status: number
  code: ProblemCode
  /** More about this occurrence, when it helps the client and tells an attacker nothing. */
  detail?: string
  /** One line for each thing that is wrong. */
  errors?: string[]
}

export function problemDocument(code: ProblemCode, more: { detail?: string; errors?: string[] } = {}): ProblemDocument {
  const [status, title] = PROBLEMS[code]
  return { type: 'about:blank', title, status, code, ...more }
}

/** A problem as the body of an answer; it ends its line, as a terminal's prompt expects. */
export function problemText(problem: ProblemDocument): string {
  return `${JSON.stringify(problem)}\n`
}
