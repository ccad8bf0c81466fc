import { join } from 'node:path'

/** A chart of a team that includes the library; its Pod and its Service are what the values say. */
export const FIXTURE = join(import.meta.dirname, 'fixtures/service')

/** A value may hold anything, so it goes as JSON, field by field. */
export const jsonArgs = (values: object): string[] =>
  Object.entries(values).flatMap(([key, value]) => ['--set-json', `${key}=${JSON.stringify(value)}`])

/** The one Pod, with more in its container and in its spec. */
export const pod = (container: object, more = {}) => ({
  pod: { containers: [{ name: 'orders', image: 'orders', ...container }], ...more },
})
export const sidecar = (values: object) => ({ sidecar: values })
/** The service listens on every address. */
export const open = { isolation: 'networkPolicy' }
