import { Type } from '@sinclair/typebox'

export const KeyParams = Type.Object(
  {
    kid: Type.String({
      pattern: '^[A-Za-z0-9_-]{1,128}$',
      description: 'an RFC 7638 thumbprint: letters, digits, - and _',
    }),
  },
  { additionalProperties: false },
)

export const RotateKeyBody = Type.Object(
  {
    now: Type.Optional(
      Type.Boolean({
        description: 'At once, however short the next key has been published; verifiers may need a moment to fetch it',
      }),
    ),
  },
  { additionalProperties: false },
)

const MaybeTime = Type.Union([Type.String({ format: 'date-time' }), Type.Null()])

export const KeyListAnswer = Type.Object({
  keys: Type.Array(
    Type.Object({
      kid: Type.String(),
      alg: Type.String(),
      state: Type.String({ description: 'next, current, retired or gone' }),
      published: Type.Boolean({ description: 'Whether the key set has it now' }),
      created_at: Type.String({ format: 'date-time' }),
      signs_from: MaybeTime,
      retired_at: MaybeTime,
      revoked_at: MaybeTime,
    }),
  ),
})

export const RotateKeyAnswer = Type.Object({
  kid: Type.String({ description: 'The key that takes over' }),
  effective_at: Type.String({ format: 'date-time', description: 'When it does, or did' }),
})

export const RevokeKeyAnswer = Type.Object({
  message: Type.String(),
  current: Type.String({ description: 'The key that signs now' }),
  propagated: Type.Boolean({ description: 'Whether the feed to the services has acknowledged it' }),
})
