import { resolve, sep } from 'node:path'
import { SettingsError } from '../shared/settings.ts'

interface SystemError extends Error {
  code?: string
  address?: string
  port?: number
  path?: string
}

/**
 * What went wrong at the start, in lines that say what to do.
 * @param dataDir the folder of the embedded store
 */
export function describeFailure(error: unknown, dataDir: string): string[] {
  if (error instanceof SettingsError) return error.problems
  const { code, address, port, path, message } = error as SystemError
  switch (code) {
    case 'EADDRINUSE':
      return [
        `port ${port} on ${address} is in use; free it, or choose another port (ISSUER_PORT, SIDECAR_PORT, SIDECAR_ADMIN_PORT, INJECTOR_PORT, INJECTOR_ADMIN_PORT)`,
      ]
    case 'EADDRNOTAVAIL':
      return [
        `the address ${address} is not one of this machine's (ISSUER_HOST, SIDECAR_HOST, SIDECAR_ADMIN_HOST, INJECTOR_HOST, INJECTOR_ADMIN_HOST)`,
      ]
    case 'EACCES':
      if (port !== undefined)
        return [`port ${port} on ${address} may not be opened by this user; choose one above 1023`]
      break
  }
  if (path !== undefined && code !== undefined) {
    const isData = isBelow(path, dataDir) || isBelow(dataDir, path)
    const advice = isData ? ': DATA_DIR has to name a folder this user can write to' : ''
    return [`${path} cannot be used (${code})${advice}`]
  }
  const { cause } = error as Error
  const why = cause instanceof Error && cause.message !== '' ? `: ${cause.message}` : ''
  return [`${message || String(error)}${why}`]
}

/** Whether one path is the other, or in it. */
function isBelow(path: string, folder: string): boolean {
  return `${resolve(path)}${sep}`.startsWith(`${resolve(folder)}${sep}`)
}
