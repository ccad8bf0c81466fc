import { argon2Sync, pbkdf2Sync, randomBytes, randomUUID } from 'node:crypto'
import { uniqueName } from './unique-name.ts'

// As Keycloak's PasswordCredentialModel writes them: two texts of JSON, every additional parameter a list of one text.

export function pbkdf2Credential(password: string, digest: 'sha1' | 'sha256' | 'sha512', keyBytes = 64) {
  const salt = randomBytes(16)
  const hashIterations = 1000
  const value = pbkdf2Sync(password, salt, hashIterations, keyBytes, digest)
  const algorithm = { sha1: 'pbkdf2', sha256: 'pbkdf2-sha256', sha512: 'pbkdf2-sha512' }[digest]
  return credential(value, salt, { hashIterations, algorithm, additionalParameters: {} })
}

/** By default with the parameters that Keycloak has by default. */
export function argon2Credential(
  password: string,
  { type = 'id', memory = 7168, passes = 5 }: { type?: 'id' | 'i' | 'd'; memory?: number; passes?: number } = {},
) {
  const nonce = randomBytes(16)
  const value = argon2Sync(`argon2${type}`, { message: password, nonce, memory, passes, parallelism: 1, tagLength: 32 })
  const additionalParameters = {
    hashLength: ['32'],
    memory: [String(memory)],
    type: [type],
    version: ['1.3'],
    parallelism: ['1'],
  }
  return credential(value, nonce, { hashIterations: passes, algorithm: 'argon2', additionalParameters })
}

function credential(value: Buffer, salt: Buffer, credentialData: object) {
  return {
    id: randomUUID(),
    type: 'password',
    userLabel: 'My password',
    createdDate: 1_767_604_673_211,
    secretData: JSON.stringify({
      value: value.toString('base64'),
      salt: salt.toString('base64'),
      additionalParameters: {},
    }),
    credentialData: JSON.stringify(credentialData),
  }
}

export function keycloakUser(more: object = {}) {
  const username = uniqueName('user').toLowerCase()
  return {
    id: randomUUID(),
    username,
    firstName: 'Ada',
    lastName: 'Lovelace',
    email: `${username}@example.com`,
    emailVerified: true,
    createdTimestamp: 1_700_000_000_123,
    enabled: true,
    totp: false,
    credentials: [] as object[],
    disableableCredentialTypes: [],
    requiredActions: [],
    realmRoles: ['default-roles-shop'],
    notBefore: 0,
    groups: [],
    ...more,
  }
}
