import type { Grants } from './grants.ts'
import { SUPERUSER_ROLE } from './user.ts'

/** Who administers, and what they may hand on: nobody gives, or takes over, more than they have. */
export interface Administrator {
  /** The user's or client's id; null for whoever has the machine. */
  id: string | null
  grants: Grants
}

/** Whoever has the machine and its secrets: the command line. */
export const OPERATOR: Administrator = { id: null, grants: { roles: [SUPERUSER_ROLE], permissions: [] } }
