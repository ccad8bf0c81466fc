import { ISSUER_SETTINGS, readIssuerSettings } from '../issuer/settings.ts'
import { SettingsError, unknownSettings } from '../shared/settings.ts'
import { INJECTOR_SETTINGS, readInjectorSettings } from '../sidecar/injector/settings.ts'
import { readSidecarSettings, SIDECAR_SETTINGS } from '../sidecar/settings.ts'
import { DEMO_SETTINGS } from './demo-settings.ts'

/** Every setting of every role: one environment may configure several. */
export const KNOWN_SETTINGS = [
  ...new Set([
    ...Object.keys(ISSUER_SETTINGS),
    ...Object.keys(SIDECAR_SETTINGS),
    ...Object.keys(INJECTOR_SETTINGS),
    ...Object.keys(DEMO_SETTINGS),
  ]),
]

/** First words that nobody else's variables have. */
const OUR_PREFIXES = ['ISSUER_', 'SIDECAR_', 'INJECTOR_', 'HASH_', 'JWKS_', 'FEED_']

const READERS = {
  issuer: readIssuerSettings,
  sidecar: readSidecarSettings,
  injector: readInjectorSettings,
  demo: () => {},
} as const

export type Role = keyof typeof READERS
export const ROLES = Object.keys(READERS) as Role[]

/**
 * Reads what the roles will read, so that everything that is wrong is said at once and before anything starts.
 * @throws SettingsError with a line for each problem
 */
export function checkSettings(env: NodeJS.ProcessEnv, roles: readonly Role[]): void {
  const problems = new Set(unknownSettings(KNOWN_SETTINGS, OUR_PREFIXES, env))
  for (const role of roles) {
    try {
      READERS[role](env)
    } catch (error) {
      if (!(error instanceof SettingsError)) throw error
      for (const problem of error.problems) problems.add(problem)
    }
  }
  if (problems.size > 0) throw new SettingsError([...problems])
}
