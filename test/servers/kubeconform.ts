import { existsSync, globSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cached } from './cache.ts'
import { run } from './command.ts'
import { findChartTools } from './helm.ts'
import { pipInstall, virtualEnvironment } from './python.ts'
import { unlessHad } from './shared.ts'
import { ServerUnavailable } from './sources.ts'

const VERSION = '1.37.0'

/**
 * The JSON Schemas of all objects of Kubernetes 1.25 to 1.37: a folder for each version.
 * @throws ServerUnavailable
 */
export async function kubernetesSchemas(): Promise<string> {
  const given = process.env.TEST_KUBERNETES_SCHEMAS
  if (given) {
    if (!existsSync(given)) throw new Error(`TEST_KUBERNETES_SCHEMAS: ${given}: no such folder`)
    return given
  }
  try {
    return await cached(
      `kubernetes-schemas-${VERSION}`,
      `Kubernetes' schemas ${VERSION} (Python package, 10 MB)`,
      async (folder) => {
        const work = join(folder, 'work')
        await virtualEnvironment(work)
        const library = join(work, 'library')
        await pipInstall(work, ['--no-deps', '--no-compile', '--target', library, `kubernetes-validate==${VERSION}`])
        const schemas = join(library, 'kubernetes_validate/kubernetes-json-schema')
        for (const version of globSync('*-local-strict', { cwd: schemas })) {
          for (const file of globSync(`${version}/*.json`, { cwd: schemas })) relocate(join(schemas, file))
          renameSync(join(schemas, version), join(folder, version.replace('-local-strict', '')))
        }
        rmSync(work, { recursive: true, force: true })
      },
    )
  } catch (error) {
    throw new ServerUnavailable(
      `Kubernetes' schemas can't be had here. Set TEST_KUBERNETES_SCHEMAS to a folder of them. Tried:\n- PyPI: ${(error as Error).message}`,
    )
  }
}

/** The files are made for another program: what they say of where they are doesn't hold here. */
function relocate(file: string): void {
  const text = readFileSync(file, 'utf8')
  const relative = text
    .replaceAll('"/api/_definitions.json#', '"_definitions.json#')
    .replace(/"\$id": *"[^"]*"/g, '"$comment": ""')
  if (relative !== text) writeFileSync(file, relative)
}

/**
 * Checks objects against the schemas of a version of Kubernetes: fields that it doesn't know are wrong.
 * @param skip kinds that are not Kubernetes' own
 * @throws an error with what is wrong
 */
export async function checkObjects(file: string, version: string, skip: readonly string[]): Promise<void> {
  const { kubeconform } = await findChartTools()
  const location = join(await kubernetesSchemas(), `v${version}`, '{{.ResourceKind}}{{.KindSuffix}}.json')
  const options = ['-strict', '-summary', '-kubernetes-version', version, '-schema-location', location]
  await run(kubeconform, [...options, ...(skip.length > 0 ? ['-skip', skip.join(',')] : []), file])
}

/** Fetches or builds all that charts are checked with. Throws ServerUnavailable. */
export async function prepareChartTools(): Promise<void> {
  await findChartTools()
  await kubernetesSchemas()
}

/** For a test's `skip` option: why charts can't be checked here, or false. Where servers are required it is always false. */
export function missingChartTools(): Promise<string | false> {
  return unlessHad('the tools for charts', prepareChartTools)
}
