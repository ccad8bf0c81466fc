import { isIP } from 'node:net'
import type { FastifyRequest } from 'fastify'

/**
 * The address a request came from, without a zone; `null` when a trusted proxy passes on something that is none: it
 * could be any text of any length, and it ends up in sessions and in the audit log.
 */
export function clientAddress({ ip }: FastifyRequest): string | null {
  const [bare = ''] = ip.split('%', 1)
  return isIP(bare) === 0 ? null : bare
}
