import { installDebian } from './apt.ts'
import { onPath } from './command.ts'
import { unlessHad } from './shared.ts'
import { missingVariable, ServerUnavailable } from './sources.ts'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome']

let found: Promise<string> | undefined

/**
 * The Chromium of this machine; installed with the machine's package manager when there is none and that can be done.
 * @throws ServerUnavailable
 */
export function findChromium(): Promise<string> {
  found ??= find()
  return found
}

async function find(): Promise<string> {
  if (process.env[missingVariable]?.split(',').includes('chromium')) {
    throw new ServerUnavailable("Chromium can't be had here")
  }
  const installed = installedChromium()
  if (installed !== undefined) return installed
  try {
    await installDebian(['chromium'])
  } catch (error) {
    throw new ServerUnavailable(`Chromium can't be had here. Install it. Tried:\n- ${(error as Error).message}`)
  }
  const fresh = installedChromium()
  if (fresh === undefined) throw new ServerUnavailable('Chromium was installed, but is not on the PATH')
  return fresh
}

function installedChromium(): string | undefined {
  return NAMES.map(onPath).find((file) => file !== undefined)
}

/** For a test's `skip` option: why there is no browser here, or false. Where servers are required it is always false. */
export function missingChromium(): Promise<string | false> {
  return unlessHad('chromium', findChromium)
}
