import { randomBytes } from 'node:crypto'

/**
 * A name no other test uses, for whatever lives in a shared server: a MongoDB database, a Redis key prefix, a Kafka
 * topic or group. Only letters, digits and `-` are added, which all three accept.
 */
export function uniqueName(prefix: string): string {
  return `${prefix}-${Date.now().toString(36)}-${randomBytes(5).toString('hex')}`
}
