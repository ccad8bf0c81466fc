import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type Running, startRole } from './deployment.ts'
import { temporaryFolder } from './temporary-folder.ts'

/**
 * A sidecar as a process of its own whose routes need no token, so that it serves without an issuer.
 * @param route further properties of its one route, as lines of YAML
 */
export function startOpenSidecar(
  t: Test,
  upstream: string,
  env: Record<string, string> = {},
  route: string[] = [],
): Promise<Running> {
  const folder = temporaryFolder(t)
  const routes = join(folder, 'routes.yaml')
  writeFileSync(
    routes,
    ['routes:', '  - path: /**', ...['access: public', ...route].map((line) => `    ${line}`)].join('\n'),
  )
  return startRole(t, 'sidecar', {
    ISSUER_URL: 'http://127.0.0.1:1',
    FEED_TOKEN: 'a feed token that only the tests know',
    SIDECAR_PORT: '0',
    SIDECAR_ADMIN_PORT: '0',
    DATA_DIR: folder,
    ROUTES_FILE: routes,
    UPSTREAM: upstream,
    LOG_LEVEL: 'info',
    ...env,
  })
}
