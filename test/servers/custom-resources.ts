import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { goModuleFiles } from './go.ts'

/** Who defines the kinds of others that the charts make, and in which file of their module. */
const MODULES = [
  {
    module: 'github.com/prometheus-operator/prometheus-operator',
    version: '0.85.0',
    folder: 'example/prometheus-operator-crd',
    files: ['servicemonitors', 'podmonitors', 'prometheusrules'].map((kind) => `monitoring.coreos.com_${kind}.yaml`),
  },
  {
    module: 'github.com/cert-manager/cert-manager',
    version: '1.21.2',
    folder: 'deploy/crds',
    files: ['certificates', 'issuers', 'clusterissuers'].map((kind) => `cert-manager.io_${kind}.yaml`),
  },
  {
    module: 'github.com/external-secrets/external-secrets',
    version: '1.3.2',
    folder: 'config/crds/bases',
    files: ['external-secrets.io_externalsecrets.yaml'],
  },
]

/** The CustomResourceDefinitions as their projects ship them. @returns files */
export async function customResources(): Promise<string[]> {
  const found: string[] = []
  for (const { module, version, folder, files } of MODULES) {
    const wanted = Object.fromEntries(files.map((file) => [file, `${folder}/${file}`]))
    const place = await goModuleFiles(module, version, wanted)
    found.push(...readdirSync(place).map((file) => join(place, file)))
  }
  return found
}
