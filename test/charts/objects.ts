import { parseAllDocuments } from 'yaml'

/** An object of Kubernetes, as loosely as tests look at it. */
export interface KubernetesObject {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace?: string; labels?: Record<string, string>; annotations?: Record<string, string> }
  data?: Record<string, string>
  // biome-ignore lint/suspicious/noExplicitAny: each kind has its own.
  spec?: any
}

/** The objects that a chart rendered to. */
export function objectsOf(text: string): KubernetesObject[] {
  return parseAllDocuments(text)
    .map((document) => {
      if (document.errors.length > 0) throw document.errors[0]
      return document.toJSON() as KubernetesObject | null
    })
    .filter((object) => object !== null)
}

/** The one object of a kind, by its name if there are several. Throws an error if it isn't there. */
export function objectOf(objects: readonly KubernetesObject[], kind: string, name?: string): KubernetesObject {
  const [found, ...more] = objects.filter((object) => object.kind === kind && (!name || object.metadata.name === name))
  if (found === undefined || more.length > 0)
    throw new Error(`${more.length + (found ? 1 : 0)} of ${kind} ${name ?? ''}`)
  return found
}

/** The environment of a container, as Kubernetes gives it to the program. */
export function environmentOf(container: { env?: { name: string; value: string }[] }): Record<string, string> {
  return Object.fromEntries((container.env ?? []).map(({ name, value }) => [name, value]))
}
