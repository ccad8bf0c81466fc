import { ISSUER_SETTINGS } from '../issuer/settings.ts'
import { certificates, type Setting, type SettingsTable } from '../shared/settings.ts'
import { INJECTOR_SETTINGS } from '../sidecar/injector/settings.ts'
import { SIDECAR_SETTINGS } from '../sidecar/settings.ts'
import { DEMO_SETTINGS } from './demo-settings.ts'
import type { Role } from './known-settings.ts'

/** What each role reads. */
export const SETTINGS: Record<Role, SettingsTable> = {
  issuer: ISSUER_SETTINGS,
  sidecar: SIDECAR_SETTINGS,
  injector: INJECTOR_SETTINGS,
  demo: DEMO_SETTINGS,
}

/** Every setting with the roles that read it, its default and its meaning, as a Markdown table. */
export function settingsTable(): string {
  const rows = new Map<string, { roles: string[]; setting: Setting<unknown> }>()
  for (const [role, table] of Object.entries(SETTINGS)) {
    for (const [name, setting] of Object.entries(table)) {
      const row = rows.get(name)
      if (row) row.roles.push(role)
      else rows.set(name, { roles: [role], setting })
    }
  }
  const lines = [...rows].map(([name, { roles, setting }]) => {
    const secret = setting.secret ? ' *(secret)*' : ''
    return `| ${settingNames(name, setting)} | ${roles.join(', ')} | ${defaultOf(setting)} | ${setting.meaning}${secret} |`
  })
  return ['| setting | read by | default | what it means |', '| --- | --- | --- | --- |', ...lines, ''].join('\n')
}

/** The setting's name and, where that is the better way, the one that names a file with its value. */
export function settingNames(name: string, { secret, kind }: Setting<unknown>): string {
  return secret || kind === certificates ? `\`${name}\`, \`${name}_FILE\`` : `\`${name}\``
}

export function defaultOf({ kind, default: value, shownDefault }: Setting<unknown>): string {
  if (shownDefault !== undefined) return shownDefault
  if (value === undefined) return 'none'
  const shown = kind.show?.(value) ?? String(value)
  return shown === '' ? 'none' : `\`${shown}\``
}
