import { integer, isNearMiss, type Kind, oneOf } from '../../../shared/settings.ts'

/** What the names of the injector's labels and annotations begin with. */
export const PREFIX = 'sallyport/'
/** The label by which a Pod asks for the sidecar (`true`) or, in a labelled namespace, does without it (`false`). */
export const INJECT_LABEL = `${PREFIX}inject`
/** The label of each Pod that has been given the sidecar, with the sidecar's port, for NetworkPolicies to select by. */
export const INJECTED_LABEL = `${PREFIX}injected`
/** The label of Pods whose own chart has the sidecar in it (charts/sidecar). */
export const SIDECAR_LABEL = `${PREFIX}sidecar`

/** A name of an object as Kubernetes has it (RFC 1123 subdomain). */
const objectName: Kind<string> = {
  read: (value) =>
    value.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(value)
      ? value
      : undefined,
  expects: 'the name of a ConfigMap of the same namespace',
}

/** Kubernetes replaces `$(NAME)` in a container's environment, by secrets too: no `$`. */
const audience: Kind<string> = {
  read: (value) => (/^[!#%-[\]-~]+$/.test(value) ? value : undefined),
  expects: 'audiences separated by commas, without spaces, quotes or $',
}

const openPort: Kind<number> = integer(1, 65535)

/** What a Pod can say about its sidecar, each by the annotation `sallyport/…`. */
export const POD_SETTINGS = {
  'upstream-port': {
    kind: openPort,
    meaning:
      'the port on which the service listens, at best on 127.0.0.1 only; left out: the one TCP port that its containers declare',
  },
  'upstream-protocol': {
    kind: oneOf('http', 'h2c', 'https', 'h2'),
    meaning: 'how the service is spoken to, as in `UPSTREAM`; left out: `http`',
  },
  routes: {
    kind: objectName,
    meaning: 'the ConfigMap of the same namespace whose `routes.yaml` has the rules for paths',
  },
  audience: { kind: audience, meaning: '`AUDIENCE`: the audiences of which a token has to have one' },
  port: { kind: openPort, meaning: '`SIDECAR_PORT`: where the sidecar listens, if another port than usual' },
  'admin-port': { kind: openPort, meaning: '`SIDECAR_ADMIN_PORT`: the same for health, metrics and forward-auth' },
} satisfies Record<string, { kind: Kind<unknown>; meaning: string }>

type Table = typeof POD_SETTINGS
export type PodSettings = { [Name in keyof Table]: Table[Name]['kind'] extends Kind<infer T> ? T | undefined : never }

/**
 * Reads a Pod's annotations.
 * @returns everything that is wrong, a text each: a setting that is silently ignored is worse than one that is refused
 */
export function readPodSettings(annotations: Readonly<Record<string, string>>): PodSettings | string[] {
  const names = Object.keys(POD_SETTINGS)
  const values: Record<string, unknown> = Object.fromEntries(names.map((name) => [name, undefined]))
  const problems: string[] = []
  for (const [annotation, text] of Object.entries(annotations)) {
    if (!annotation.startsWith(PREFIX)) continue
    const name = annotation.slice(PREFIX.length)
    if (!Object.hasOwn(POD_SETTINGS, name)) {
      problems.push(unknown(annotation, name, names))
      continue
    }
    const { kind } = POD_SETTINGS[name as keyof Table] as { kind: Kind<unknown> }
    values[name] = kind.read(text)
    if (values[name] === undefined) {
      problems.push(`annotation ${annotation}: ${JSON.stringify(text.slice(0, 100))} is not ${kind.expects}`)
    }
  }
  return problems.length > 0 ? problems : (values as PodSettings)
}

function unknown(annotation: string, name: string, names: readonly string[]): string {
  const shown = annotation.slice(0, 100)
  if (annotation === INJECT_LABEL) return `annotation ${shown}: that is a label`
  const meant = names.find((known) => isNearMiss(name, known))
  return `annotation ${shown}: there is no such annotation${meant ? `; did you mean ${PREFIX}${meant}?` : ''}`
}
