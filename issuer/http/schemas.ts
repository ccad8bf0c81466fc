import { type TObject, type TProperties, Type } from '@sinclair/typebox'
import { PROBLEM_TYPE } from '../../shared/problem.ts'

/** An object that has these fields and no others. */
export function exactly<T extends TProperties>(fields: T, description?: string): TObject<T> {
  return Type.Object(fields, { additionalProperties: false, ...(description && { description }) })
}

/** At least one of these fields and no others. */
export function some<T extends TProperties>(fields: T) {
  return Type.Partial(Type.Object(fields), { additionalProperties: false, minProperties: 1 })
}

/** One of these texts. A union of literals would be as good, but for what it says to whoever sends another. */
export function oneOf<const Values extends string[]>(values: Values, description?: string) {
  return Type.Unsafe<Values[number]>({ type: 'string', enum: values, ...(description && { description }) })
}

// The domain says how long each may be; these bounds only keep what it looks at small.
export const Email = Type.String({ maxLength: 255, description: 'E-mail address' })
export const Username = Type.String({ maxLength: 50, description: 'User name' })
export const Password = Type.String({
  format: 'password',
  description: 'At least 8 characters, at most 1024 bytes, NFC',
})
const RefreshTokenText = Type.String({ maxLength: 256, description: 'Refresh token, for clients without cookies' })
const TransportName = oneOf(['cookie', 'body'], 'How the refresh token travels; cookie by default')

export const RegisterBody = exactly({
  email: Email,
  username: Type.Optional(Username),
  password: Password,
  login: Type.Optional(Type.Boolean({ description: 'Also start a session' })),
  transport: Type.Optional(TransportName),
})

export const LoginBody = exactly(
  {
    email: Type.Optional(Email),
    username: Type.Optional(Username),
    password: Password,
    transport: Type.Optional(TransportName),
  },
  'Either email or username',
)

export const RefreshBody = exactly({
  refresh_token: Type.Optional(RefreshTokenText),
  transport: Type.Optional(TransportName),
  grant_type: Type.Optional(Type.Literal('refresh_token')),
})

export const LogoutBody = exactly({
  refresh_token: Type.Optional(RefreshTokenText),
  all: Type.Optional(Type.Boolean({ description: 'End every session of the user' })),
})

export const SessionParams = exactly({ sid: Type.String() })
export const KeyQuery = exactly({ kid: Type.Optional(Type.String({ maxLength: 128 })) })

const Time = Type.String({ format: 'date-time' })
const MaybeTime = Type.Union([Time, Type.Null()])

export const UserAnswer = Type.Object({
  id: Type.String({ format: 'uuid' }),
  email: Type.String(),
  username: Type.Union([Type.String(), Type.Null()]),
  tier: Type.String(),
  roles: Type.Array(Type.String()),
  is_active: Type.Boolean(),
  is_verified: Type.Boolean(),
  is_admin: Type.Boolean(),
  created_at: Time,
  updated_at: Time,
  last_login: MaybeTime,
})

export const TokenAnswer = Type.Object({
  access_token: Type.String(),
  token_type: Type.Literal('Bearer'),
  expires_in: Type.Integer({ description: 'Seconds' }),
  refresh_token: Type.Optional(Type.String({ description: 'Only with "transport": "body"' })),
  refresh_expires_in: Type.Integer({ description: 'Seconds until it is void unless used' }),
  user: Type.Optional(UserAnswer),
})

export const LogoutAnswer = Type.Object({
  message: Type.String(),
  invalidated_tokens: Type.Integer({ description: 'How many sessions were live until now' }),
  propagated: Type.Boolean({ description: 'Whether the feed to the services has acknowledged it' }),
})

export const SessionsAnswer = Type.Object({
  sessions: Type.Array(
    Type.Object({
      sid: Type.String({ format: 'uuid' }),
      user_agent: Type.Union([Type.String(), Type.Null()]),
      address: Type.Union([Type.String(), Type.Null()]),
      created_at: Time,
      last_used_at: Time,
      expires_at: Time,
      current: Type.Boolean(),
    }),
  ),
})

const Problem = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  code: Type.String({ description: 'Stable; what programs look at' }),
  detail: Type.Optional(Type.String()),
  errors: Type.Optional(Type.Array(Type.String())),
})

/** What every route may answer instead of what was asked for. */
export const problems = {
  '4xx': { description: 'Problem', content: { [PROBLEM_TYPE]: { schema: Problem } } },
  '5xx': { description: 'Problem', content: { [PROBLEM_TYPE]: { schema: Problem } } },
}

/** Marks a route in the OpenAPI document as one for callers with an access token. */
export const bearerAuth: Record<string, string[]>[] = [{ bearer: [] }, { oauth2: [] }]
