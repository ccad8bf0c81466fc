/** How many requests in how long. */
export interface RateLimit {
  requests: number
  windowMs: number
}

const aMinute = (requests: number): RateLimit => ({ requests, windowMs: 60_000 })

/** Every limit there is; what each counts, and by whom, stands beside the routes. */
export const DEFAULT_RATE_LIMITS = {
  login: aMinute(5),
  register: aMinute(5),
  password: aMinute(5),
  refresh: aMinute(10),
  // Whoever wants to leave is not kept: more than anyone needs, less than a loop.
  logout: aMinute(30),
  read: aMinute(20),
  update: aMinute(10),
  // A person with a list of users before them, or a script of theirs.
  admin: aMinute(120),
  // Services, which ask on behalf of many users.
  client: aMinute(600),
} satisfies Record<string, RateLimit>

export type LimitName = keyof typeof DEFAULT_RATE_LIMITS

/** The limits that hold; one that is absent is off. */
export type RateLimits = { readonly [Name in LimitName]?: RateLimit }

const UNITS = { s: 1000, m: 60_000, h: 3_600_000 }
const ENTRY = /^([a-z]+)=(?:off|(\d{1,7})\/(\d{1,3})([smh]))$/

/**
 * Reads `login=5/1m,read=off`: what is named replaces the default. `off` alone switches every limit off.
 * @returns `undefined` for anything else
 */
export function readRateLimits(text: string): RateLimits | undefined {
  if (text === 'off') return {}
  const limits: Record<string, RateLimit> = { ...DEFAULT_RATE_LIMITS }
  const named = new Set<string>()
  for (const entry of text.split(',')) {
    const [, name = '', requests, count, unit] = ENTRY.exec(entry.trim()) ?? []
    if (!Object.hasOwn(DEFAULT_RATE_LIMITS, name) || named.has(name)) return undefined
    named.add(name)
    if (requests === undefined) delete limits[name]
    else {
      limits[name] = { requests: Number(requests), windowMs: Number(count) * UNITS[unit as keyof typeof UNITS] }
      if (limits[name].requests === 0 || limits[name].windowMs === 0) return undefined
    }
  }
  return limits
}

/** The limits as `readRateLimits` reads them. */
export function showRateLimits(limits: RateLimits): string {
  if (Object.keys(limits).length === 0) return 'off'
  const entries = Object.keys(DEFAULT_RATE_LIMITS).map((name) => {
    const limit = limits[name as LimitName]
    return `${name}=${limit ? `${limit.requests}/${showWindow(limit.windowMs)}` : 'off'}`
  })
  return entries.join(',')
}

function showWindow(ms: number): string {
  const [unit, size] = Object.entries(UNITS).findLast(([, size]) => ms % size === 0) ?? ['s', UNITS.s]
  return `${ms / size}${unit}`
}
