import { openAdministration } from '../issuer/administration.ts'
import { checkSettings } from './known-settings.ts'

/** Brings the stores up to date, as every start does; whoever wants that done before the first new replica starts. */
export async function migrate(env: NodeJS.ProcessEnv): Promise<void> {
  checkSettings(env, ['issuer'])
  const { stores, close } = await openAdministration(env)
  const names = (await stores.check()).map(({ name }) => name)
  await close()
  process.stdout.write(`${names.join(', ')}: up to date\n`)
}
