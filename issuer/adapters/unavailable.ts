import { StoreUnavailable } from '../domain/ports.ts'

/**
 * A driver's error as the port's. Only its name, message and code are kept: drivers hang the failed command with its
 * arguments, or a whole cluster's description, on their errors, and a logged cause would print them.
 * @param store the store's name for the log
 */
export function unavailable(store: string, error: unknown): StoreUnavailable {
  if (error instanceof StoreUnavailable) return error
  const { name, message, code } = error as Error & { code?: unknown }
  const cause = new Error(message)
  cause.name = name
  return new StoreUnavailable(store, code === undefined ? cause : Object.assign(cause, { code }))
}
