import { Type } from '@sinclair/typebox'
import { MAX_PERMISSION_CHARACTERS } from '../domain/permissions.ts'
import { MAX_ROLE_CHARACTERS, MAX_ROLE_DESCRIPTION, MAX_ROLES_OF_USER } from '../domain/role.ts'
import { Email, exactly, LogoutAnswer, oneOf, Password, SessionsAnswer, some, UserAnswer, Username } from './schemas.ts'

export const UserParams = exactly({ id: Type.String() })
export const UserSessionParams = exactly({ id: Type.String(), sid: Type.String() })
export const RoleParams = exactly({ name: Type.String() })

export const ProfileBody = some({
  email: Email,
  username: Type.Union([Username, Type.Null()], { description: 'null for none' }),
  current_password: Type.String({
    format: 'password',
    description: 'Needed when the e-mail address of the own account changes; for others it is refused',
  }),
})

export const PasswordBody = exactly({
  current_password: Type.String({ format: 'password' }),
  new_password: Password,
})

export const EmptyBody = exactly({})

/** Who asks, with what they may do. */
export const OwnProfileAnswer = Type.Object({
  ...UserAnswer.properties,
  permissions: Type.Array(Type.String()),
})

const RoleName = Type.String({ maxLength: MAX_ROLE_CHARACTERS })
const Tier = Type.String({
  pattern: '^[A-Za-z0-9][A-Za-z0-9:_.-]{0,49}$',
  description: 'at most 50 letters, digits and : _ . - with a letter or digit first',
})

export const AdministrationBody = some({
  roles: Type.Array(RoleName, { maxItems: MAX_ROLES_OF_USER, uniqueItems: true }),
  tier: Tier,
  is_active: Type.Boolean(),
  is_verified: Type.Boolean(),
})

const Flag = oneOf(['true', 'false'])

export const UserListQuery = exactly({
  email: Type.Optional(Type.String({ minLength: 1, maxLength: 255, description: 'What the address begins with' })),
  username: Type.Optional(Type.String({ minLength: 1, maxLength: 50, description: 'What the user name begins with' })),
  role: Type.Optional(RoleName),
  tier: Type.Optional(Tier),
  is_active: Type.Optional(Flag),
  is_verified: Type.Optional(Flag),
  limit: Type.Optional(
    Type.String({ pattern: '^(?:[1-9]\\d?|1\\d\\d|200)$', description: 'a whole number from 1 to 200; 50 by default' }),
  ),
  after: Type.Optional(Type.String({ maxLength: 1024, description: '`next` of the page before' })),
})

export const UserListAnswer = Type.Object({
  users: Type.Array(UserAnswer),
  next: Type.Union([Type.String(), Type.Null()], {
    description: 'Where the next page begins; null at the end. A page that filters leave empty may have a next one.',
  }),
})

/** The user after the change, and what it ended. */
export const AdministeredAnswer = Type.Object({
  ...UserAnswer.properties,
  invalidated_tokens: Type.Optional(Type.Integer({ description: 'How many sessions ended by it' })),
  propagated: Type.Optional(LogoutAnswer.properties.propagated),
})

export const UserSessionsAnswer = Type.Object({
  sessions: Type.Array(Type.Omit(SessionsAnswer.properties.sessions.items, ['current'])),
})

const Description = Type.String({ maxLength: MAX_ROLE_DESCRIPTION })
const Permissions = Type.Array(Type.String({ maxLength: MAX_PERMISSION_CHARACTERS }), {
  maxItems: 128,
  uniqueItems: true,
  description: 'Of a-z 0-9 : _ . -',
})

export const CreateRoleBody = exactly({
  name: RoleName,
  description: Type.Optional(Description),
  permissions: Type.Optional(Permissions),
})

export const UpdateRoleBody = some({ description: Description, permissions: Permissions })

export const RoleAnswer = Type.Object({
  name: Type.String(),
  description: Type.String(),
  permissions: Type.Array(Type.String()),
  built_in: Type.Boolean(),
  created_at: Type.String({ format: 'date-time' }),
  updated_at: Type.String({ format: 'date-time' }),
})

export const RoleListAnswer = Type.Object({
  roles: Type.Array(RoleAnswer),
  permissions: Type.Record(Type.String(), Type.String(), {
    description: 'What the routes of this issuer ask for, and what that allows',
  }),
})

export const DeletedRoleAnswer = Type.Object({
  message: Type.String(),
  users: Type.Integer({ description: 'From how many users the role was taken' }),
  complete: Type.Boolean({ description: 'false: others still have its name, which grants nothing; repeat it' }),
})
