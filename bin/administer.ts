import { type Administration, openAdministration } from '../issuer/administration.ts'
import { checkSettings } from './known-settings.ts'

/** Opens the stores for one command, and closes them after it. */
export async function administer(
  env: NodeJS.ProcessEnv,
  act: (administration: Administration) => Promise<void>,
): Promise<void> {
  checkSettings(env, ['issuer'])
  const administration = await openAdministration(env)
  try {
    await act(administration)
  } finally {
    await administration.close()
  }
}
