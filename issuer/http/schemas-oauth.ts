import { Type } from '@sinclair/typebox'
import { exactly, LogoutAnswer, some } from './schemas.ts'

// A token is at most 8 KiB; a password at most 1024 bytes, which the domain counts.
const TokenText = Type.String({ maxLength: 8192 })
const ScopeText = Type.String({
  maxLength: 1024,
  description: 'Space-separated permissions; a part of what may be had',
})

const client = {
  client_id: Type.Optional(Type.String({ maxLength: 128, description: 'Instead of HTTP Basic' })),
  client_secret: Type.Optional(Type.String({ maxLength: 256, format: 'password' })),
}

export const TokenBody = exactly(
  {
    grant_type: Type.Optional(
      Type.String({ maxLength: 64, description: 'password, refresh_token or client_credentials' }),
    ),
    username: Type.Optional(Type.String({ maxLength: 255, description: 'E-mail address or user name' })),
    password: Type.Optional(Type.String({ format: 'password' })),
    refresh_token: Type.Optional(Type.String({ maxLength: 256 })),
    scope: Type.Optional(ScopeText),
    ...client,
  },
  'RFC 6749 section 4.3.2, 4.4.2 or 6, as form or JSON. Unknown parameters of a form are ignored.',
)

/** Parameters have to come in the body; what else an address carries is ignored (RFC 6749 section 3.2). */
export const IgnoredQuery = Type.Object({})

/** RFC 7662 section 2.1 and RFC 7009 section 2.1 ask for the same. */
export const TokenParameterBody = exactly({
  token: Type.Optional(TokenText),
  token_type_hint: Type.Optional(Type.String({ maxLength: 64, description: 'Not needed: tokens tell their kind' })),
  ...client,
})

export const OAuthTokenAnswer = Type.Object(
  {
    access_token: Type.String(),
    token_type: Type.Literal('Bearer'),
    expires_in: Type.Integer({ description: 'Seconds' }),
    refresh_token: Type.Optional(Type.String({ description: 'Not for service clients' })),
    scope: Type.Optional(Type.String()),
  },
  { description: 'RFC 6749 section 5.1' },
)

export const IntrospectionAnswer = Type.Object(
  {
    active: Type.Boolean(),
    token_type: Type.Optional(Type.Union([Type.Literal('Bearer'), Type.Literal('refresh_token')])),
    scope: Type.Optional(Type.String()),
    client_id: Type.Optional(Type.String()),
    exp: Type.Optional(Type.Integer({ description: 'Seconds' })),
    iat: Type.Optional(Type.Integer({ description: 'Seconds' })),
    sub: Type.Optional(Type.String()),
    aud: Type.Optional(Type.Union([Type.String(), Type.Array(Type.String())])),
    iss: Type.Optional(Type.String()),
    jti: Type.Optional(Type.String()),
    sid: Type.Optional(Type.String()),
  },
  { description: 'RFC 7662 section 2.2; of a token that is not active nothing else is told' },
)

const OAuthErrorAnswer = Type.Object({
  error: Type.String({ description: 'Stable; what programs look at' }),
  error_description: Type.String(),
})

/** What an OAuth route may answer instead of what was asked for: RFC 6749 section 5.2. */
export const oauthErrors = {
  '4xx': { description: 'Error', content: { 'application/json': { schema: OAuthErrorAnswer } } },
  '5xx': { description: 'Error', content: { 'application/json': { schema: OAuthErrorAnswer } } },
}

const ClientId = Type.String({ format: 'uuid' })
const ClientName = Type.String({ minLength: 1, maxLength: 100 })
const Permissions = Type.Array(Type.String({ maxLength: 64 }), { maxItems: 64, description: 'What its tokens may do' })
const Time = Type.String({ format: 'date-time' })

// As with users, what is no id is the id of nobody.
export const ClientParams = exactly({ clientId: Type.String() })
export const CreateClientBody = exactly({ name: ClientName, permissions: Type.Optional(Permissions) })
export const UpdateClientBody = some({ name: ClientName, permissions: Permissions, is_active: Type.Boolean() })
export const RotateSecretBody = exactly({
  overlap: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 30 * 86_400,
      description:
        'How long the secret before still holds: seconds, a day by default. 0 is for a secret that leaked: the tokens it got end as well.',
    }),
  ),
})
export const ClientListQuery = exactly({
  after: Type.Optional(Type.String({ format: 'uuid', description: '`next` of the page before' })),
  limit: Type.Optional(
    Type.String({ pattern: '^([1-9]|[1-9][0-9]|100)$', description: 'a whole number from 1 to 100; 50 by default' }),
  ),
})

export const ClientAnswer = Type.Object({
  client_id: ClientId,
  name: Type.String(),
  permissions: Type.Array(Type.String()),
  is_active: Type.Boolean(),
  previous_secret_until: Type.Union([Time, Type.Null()]),
  created_at: Time,
  updated_at: Time,
})

/** The client after a change; where that ended tokens, whether the services know. */
export const ChangedClientAnswer = Type.Object({
  ...ClientAnswer.properties,
  propagated: Type.Optional(LogoutAnswer.properties.propagated),
})

export const ClientSecretAnswer = Type.Object({
  ...ChangedClientAnswer.properties,
  client_secret: Type.String({ description: 'Shown this once' }),
})

export const ClientListAnswer = Type.Object({
  clients: Type.Array(ClientAnswer),
  next: Type.Union([ClientId, Type.Null()], { description: '`after` of the next page' }),
})

export const ClientEndAnswer = Type.Object({
  message: Type.String(),
  propagated: LogoutAnswer.properties.propagated,
})
