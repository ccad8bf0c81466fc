import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { readSettings, SettingsError, unknownSettings } from '../../shared/settings.ts'
import { SIDECAR_SETTINGS } from '../settings.ts'
import { type EnvironmentVariable, literal, readTemplate, type SidecarTemplate } from './domain/template.ts'

const MAX_BYTES = 1024 * 1024
/** First words that only the sidecar's settings have. */
const PREFIXES = ['SIDECAR_', 'JWKS_', 'FEED_']

/**
 * Reads what Pods are given, once: a new template is a new Deployment of the injector, which can be rolled back.
 * @throws SettingsError with every problem, of the sidecar's own settings too: better here than in each Pod
 */
export async function readTemplateFile(path: string): Promise<SidecarTemplate> {
  const template = readTemplate(await readDocument(path))
  const problems = Array.isArray(template) ? template : settingsProblems(template.env)
  if (Array.isArray(template) || problems.length > 0) throw new SettingsError(problems.map((text) => named(path, text)))
  return template
}

async function readDocument(path: string): Promise<unknown> {
  try {
    const bytes = await readFile(path)
    if (bytes.length > MAX_BYTES) throw new Error(`it has more than ${MAX_BYTES} bytes`)
    return parse(bytes.toString(), { prettyErrors: false })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new SettingsError([named(path, code?.startsWith('E') ? `it cannot be read (${code})` : message)])
  }
}

function settingsProblems(env: readonly EnvironmentVariable[]): string[] {
  const names = Object.keys(SIDECAR_SETTINGS)
  const given = Object.fromEntries(env.map(({ name }) => [name, 'is set']))
  const unknown = unknownSettings(names, PREFIXES, given)
  // Files and Secrets are the Pod's own: only what is written out can be read here.
  const values = Object.fromEntries(names.map((name) => [name, literal(env, name)]))
  try {
    readSettings(SIDECAR_SETTINGS, values)
    return unknown
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error
    return [...unknown, ...error.problems]
  }
}

function named(path: string, problem: string): string {
  return `INJECTOR_TEMPLATE_FILE: ${path}: ${problem}`
}
