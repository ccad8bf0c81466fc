import { AUTHORIZATION } from './classes/authorization.ts'
import { CHUNKS } from './classes/chunks.ts'
import { CONTENT_LENGTH } from './classes/content-length.ts'
import { EXPECTATIONS } from './classes/expectations.ts'
import { FIELDS } from './classes/fields.ts'
import { CONNECTION_HEADER, IDENTITY_HEADERS } from './classes/identity-headers.ts'
import { LIMITS } from './classes/limits.ts'
import { METHODS } from './classes/methods.ts'
import { PATH_CONFUSION } from './classes/path-confusion.ts'
import { PIPELINING } from './classes/pipelining.ts'
import { REQUEST_LINE } from './classes/request-line.ts'
import { REVOCATION } from './classes/revocation.ts'
import { TOKEN_ALGORITHMS } from './classes/token-algorithms.ts'
import { TOKEN_CACHE } from './classes/token-cache.ts'
import { TOKEN_FORMS } from './classes/token-forms.ts'
import { TOKEN_KEYS } from './classes/token-keys.ts'
import { TOKEN_SIGNATURES } from './classes/token-signatures.ts'
import { TRANSFER_ENCODING } from './classes/transfer-encoding.ts'
import { UNREAD_BODY } from './classes/unread-body.ts'
import { WEBSOCKETS } from './classes/websockets.ts'
import type { AttackClass } from './row.ts'

/** Every class of attack, in the order in which they are run and documented. */
export const CLASSES: readonly AttackClass[] = [
  TOKEN_ALGORITHMS,
  TOKEN_KEYS,
  TOKEN_SIGNATURES,
  TOKEN_FORMS,
  TOKEN_CACHE,
  AUTHORIZATION,
  IDENTITY_HEADERS,
  CONNECTION_HEADER,
  PATH_CONFUSION,
  REQUEST_LINE,
  FIELDS,
  CONTENT_LENGTH,
  TRANSFER_ENCODING,
  CHUNKS,
  UNREAD_BODY,
  METHODS,
  EXPECTATIONS,
  PIPELINING,
  LIMITS,
  WEBSOCKETS,
  REVOCATION,
]
