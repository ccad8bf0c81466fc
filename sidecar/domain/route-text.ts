import { duration, size } from '../../shared/settings.ts'
import { DEFAULT_ROUTE, type Route } from './route.ts'

/** What a route asks of a valid token, in words; empty when it asks for nothing more. */
export function asksText({ roles, scopes, claims, verifiedEmail }: Route): string {
  const parts = [
    roles.length > 0 && `role ${roles.join(' or ')}`,
    scopes.length > 0 && `scope ${scopes.join(' and ')}`,
    ...claims.map(({ claim, equals }) => `${claim} = ${JSON.stringify(equals)}`),
    verifiedEmail && 'verified e-mail address',
  ]
  return parts.filter(Boolean).join(', ')
}

/** How a route is served, as the routes file spells it, where that differs from the default; empty where it does not. */
export function servedText({ staleness, upstream, timeoutMs, bodyLimit }: Route): string {
  const parts = [
    staleness !== DEFAULT_ROUTE.staleness && `staleness: ${staleness}`,
    upstream && `upstream: ${upstream.address}`,
    timeoutMs !== DEFAULT_ROUTE.timeoutMs && `timeout: ${duration('0s', '1d').show?.(timeoutMs)}`,
    bodyLimit !== DEFAULT_ROUTE.bodyLimit && `bodyLimit: ${size('0B', '1GiB').show?.(bodyLimit)}`,
  ]
  return parts.filter(Boolean).join(', ')
}
