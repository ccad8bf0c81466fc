import { checkSettings, ROLES, type Role } from './known-settings.ts'
import { settingsTable } from './settings-table.ts'

export interface SettingsOptions {
  /** Names of roles. */
  check?: string[]
}

/**
 * Prints every setting; or, with `check`, says whether the environment would do for these roles. Nothing is started and
 * no server is asked.
 * @throws SettingsError with everything that is wrong
 */
export async function settings(env: NodeJS.ProcessEnv, { check }: SettingsOptions): Promise<void> {
  if (check === undefined) return void process.stdout.write(settingsTable())
  const unknown = check.find((name) => !isRole(name))
  if (unknown !== undefined) throw new Error(`--check: ${unknown} is none of ${ROLES.join(', ')}`)
  checkSettings(env, check.filter(isRole))
  process.stdout.write(`${check.join(', ')}: settings are right\n`)
}

function isRole(name: string): name is Role {
  return ROLES.some((role) => role === name)
}
