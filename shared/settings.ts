import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'

/** How the text of a setting becomes a value. */
export interface Kind<T> {
  /** Returns `undefined` for a text that is not of this kind. */
  read(text: string): T | undefined
  /** What would be right, for the error message: "a whole number from 1 to 65535". */
  expects: string
  /** The value as one would write it; by default `String(value)`. */
  show?(value: T): string
}

/** What else is to be known of a setting. */
export interface Traits {
  /** Secrets are never printed. */
  secret?: boolean
  /** Who has to have the same: every issuer, or all issuers and sidecars. Of anything else each may have its own. */
  same?: 'issuers' | 'everywhere'
  /** Names a file that is read again when it changes, without a restart. */
  live?: boolean
  /** How it is shown where the default depends on the machine or on other settings. */
  shownDefault?: string
}

/** One setting: a row of the tables in docs/configuration.md. */
export interface Setting<T> extends Traits {
  kind: Kind<T>
  /** What holds when nothing is set. */
  default: T
  meaning: string
  /** Under which heading it stands. */
  section?: string
}

/** A row of a table of settings. */
export function row<T>(kind: Kind<T>, fallback: NoInfer<T>, meaning: string, traits: Traits = {}): Setting<T> {
  return { kind, default: fallback, meaning, ...traits }
}

export type SettingsTable = Record<string, Setting<unknown>>

/** Rows that belong together, under a heading of docs/configuration.md. */
export function section<Table extends SettingsTable>(title: string, rows: Table): Table {
  return Object.fromEntries(
    Object.entries(rows).map(([name, setting]) => [name, { ...setting, section: title }]),
  ) as Table
}

export type SettingValues<Table extends SettingsTable> = {
  [Name in keyof Table]: Table[Name] extends Setting<infer T> ? T : never
}

/** Everything that is wrong with the settings, a line each. */
export class SettingsError extends Error {
  problems: string[]
  constructor(problems: string[]) {
    super(problems.join('\n'))
    this.name = 'SettingsError'
    this.problems = problems
  }
}

export const text: Kind<string> = { read: (value) => value || undefined, expects: 'a text that is not empty' }

/** A text that is too long to be guessed. */
export function secretOf(characters: number): Kind<string> {
  return {
    read: (value) => (value.length >= characters ? value : undefined),
    expects: `a text of at least ${characters} characters`,
  }
}

/** The bearer credential by which a sidecar reads the issuer's feed: it has to fit into a header. */
export const feedToken: Kind<string> = {
  read: (value) => (/^[ -~]*$/.test(value) ? secretOf(16).read(value) : undefined),
  expects: `${secretOf(16).expects}, of ASCII and on one line`,
}

export function integer(min: number, max: number): Kind<number> {
  return {
    read: (value) => {
      const number = /^-?\d{1,15}$/.test(value) ? Number(value) : Number.NaN
      return number >= min && number <= max ? number : undefined
    },
    expects: `a whole number from ${min} to ${max}`,
  }
}

export const port: Kind<number> = integer(0, 65535)

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** A duration with its unit, such as `500ms`, `60s`, `14d`; the value is in milliseconds. */
export function duration(min: string, max: string): Kind<number> {
  const parse = (value: string) => {
    const match = /^(\d{1,9})(ms|s|m|h|d)$/.exec(value)
    return match ? Number(match[1]) * UNITS[match[2] as keyof typeof UNITS] : Number.NaN
  }
  return {
    read: (value) => (parse(value) >= parse(min) && parse(value) <= parse(max) ? parse(value) : undefined),
    expects: `a duration from ${min} to ${max}, such as 500ms, 60s, 5m, 12h or 14d`,
    show: (value) => {
      const [unit, size] = Object.entries(UNITS).findLast(([, ms]) => value % ms === 0 && value >= ms) ?? ['ms', 1]
      return `${value / size}${unit}`
    },
  }
}

const SIZE_UNITS = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const

/** A size with its unit, such as `64KiB`; the value is in bytes. */
export function size(min: string, max: string): Kind<number> {
  const parse = (value: string) => {
    const match = /^(\d{1,9})(B|KiB|MiB|GiB)$/.exec(value)
    return match ? Number(match[1]) * SIZE_UNITS[match[2] as keyof typeof SIZE_UNITS] : Number.NaN
  }
  return {
    read: (value) => (parse(value) >= parse(min) && parse(value) <= parse(max) ? parse(value) : undefined),
    expects: `a size from ${min} to ${max}, such as 512B, 64KiB, 16MiB or 1GiB`,
    show: (value) => {
      const [unit, bytes] = Object.entries(SIZE_UNITS).findLast(([, n]) => value % n === 0 && value >= n) ?? ['B', 1]
      return `${value / bytes}${unit}`
    },
  }
}

const FLAGS = new Map([
  ['true', true],
  ['on', true],
  ['false', false],
  ['off', false],
])

export const flag: Kind<boolean> = {
  read: (value) => FLAGS.get(value),
  expects: 'on or off',
  show: (value) => (value ? 'on' : 'off'),
}

export function oneOf<const T extends string>(...values: T[]): Kind<T> {
  return { read: (value) => values.find((known) => known === value), expects: `one of ${values.join(', ')}` }
}

/** A list separated by commas, each part of the given kind. */
export function list<T>(kind: Kind<T>): Kind<T[]> {
  return {
    read: (value) => {
      const parts = value.split(',').map((part) => kind.read(part.trim()))
      return parts.every((part) => part !== undefined) ? (parts as T[]) : undefined
    },
    expects: `a list, separated by commas, of: ${kind.expects}`,
    show: (value) => value.map((part) => kind.show?.(part) ?? String(part)).join(','),
  }
}

/** An absolute URL of one of the schemes, without user, query or fragment unless `whole` says otherwise. */
export function url(schemes: readonly string[], whole = false): Kind<string> {
  return {
    read: (value) => {
      // The parser mends what is not quite a URL (`http:host`, spaces); the text is used as it is, so it has to be one.
      const parsed = /^[a-z+]+:\/\/[!-~]+$/.test(value) && URL.canParse(value) ? new URL(value) : undefined
      if (!parsed || !schemes.includes(parsed.protocol.slice(0, -1))) return undefined
      if (whole) return value
      return parsed.host && !/[?#@\\]/.test(value) ? value.replace(/\/$/, '') : undefined
    },
    expects: `an address that begins with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`,
  }
}

/** An IP address, or a network in CIDR notation (RFC 4632, RFC 4291 section 2.3). */
export const network: Kind<string> = {
  read: (value) => {
    const [address = '', bits, ...rest] = value.split('/')
    const family = isIP(address)
    if (family === 0 || rest.length > 0) return undefined
    if (bits === undefined) return value
    return /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128) ? value : undefined
  },
  expects: 'an IP address or a network such as 10.0.0.0/8',
}

/** Certificates in PEM format (RFC 7468), most often from a file. */
export const certificates: Kind<string> = {
  read: (value) => (/-----BEGIN CERTIFICATE-----[\s\S]+-----END CERTIFICATE-----/.test(value) ? value : undefined),
  expects: 'one or more certificates in PEM format',
}

/** A kind that may be left out. */
export function optional<T>(kind: Kind<T>): Kind<T | undefined> {
  return kind
}

/** A private key where a certificate should be; a password in an address. */
const MAY_BE_SECRET = /-----BEGIN|:\/\/[^/]*@/

/**
 * Reads settings from an environment. `NAME_FILE` names a file whose content (without the final newline) is the value.
 * @throws SettingsError that lists every problem at once, never the value of a secret
 */
export function readSettings<Table extends SettingsTable>(table: Table, env: NodeJS.ProcessEnv): SettingValues<Table> {
  const problems: string[] = []
  const values: Record<string, unknown> = {}
  for (const [name, setting] of Object.entries(table)) {
    const found = lookUp(name, env, problems)
    if (found === undefined) {
      values[name] = setting.default
      continue
    }
    const value = setting.kind.read(found)
    if (value === undefined) {
      const shown =
        setting.secret || MAY_BE_SECRET.test(found) ? 'the given value' : JSON.stringify(found.slice(0, 100))
      problems.push(`${name}: ${shown} is not ${setting.kind.expects}`)
    }
    values[name] = value
  }
  if (problems.length > 0) throw new SettingsError(problems)
  return values as SettingValues<Table>
}

function lookUp(name: string, env: NodeJS.ProcessEnv, problems: string[]): string | undefined {
  const file = env[`${name}_FILE`]
  // An empty variable is how Compose and shells spell "not set".
  if (!file) return env[name] || undefined
  if (env[name]) {
    problems.push(`${name}: set either ${name} or ${name}_FILE, not both`)
    return undefined
  }
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  } catch (error) {
    problems.push(`${name}_FILE: ${file} cannot be read (${(error as NodeJS.ErrnoException).code})`)
    return undefined
  }
}

// Variables that Kubernetes adds for each Service of a namespace.
const SERVICE_LINK = /_(SERVICE_(HOST|PORT).*|PORT_\d+_(TCP|UDP|SCTP).*)$/
const SERVICE_ADDRESS = /^(tcp|udp|sctp):\/\//

/**
 * Names in the environment that look like settings but are none: those that share a prefix of ours, and near misses
 * of a setting's name (`UPSTERAM`), for a setting that is silently ignored is worse than one that is refused.
 * @param names the settings there are
 * @param prefixes the first words that only our settings have, such as `ISSUER_`
 */
export function unknownSettings(
  names: readonly string[],
  prefixes: readonly string[],
  env: NodeJS.ProcessEnv,
): string[] {
  const known = new Set(names.flatMap((name) => [name, `${name}_FILE`]))
  return Object.keys(env)
    .filter((name) => !known.has(name) && !isServiceLink(name, env[name]))
    .flatMap((name) => {
      const meant = names.find((candidate) => candidate.length >= 6 && isNearMiss(name, candidate))
      if (!meant && !prefixes.some((prefix) => name.startsWith(prefix))) return []
      return [`${name}: there is no such setting${meant ? `; did you mean ${meant}?` : ''}`]
    })
}

function isServiceLink(name: string, value = ''): boolean {
  return SERVICE_LINK.test(name) || (name.endsWith('_PORT') && SERVICE_ADDRESS.test(value))
}

/** The same, or one letter too many, too few, wrong, or two neighbours exchanged. */
export function isNearMiss(a: string, b: string): boolean {
  if (Math.abs(a.length - b.length) > 1) return false
  let start = 0
  while (start < a.length && a[start] === b[start]) start++
  const [restA, restB] = [a.slice(start), b.slice(start)]
  return (
    restA.slice(1) === restB.slice(1) ||
    restA.slice(1) === restB ||
    restA === restB.slice(1) ||
    (restA.slice(2) === restB.slice(2) && restA[0] === restB[1] && restA[1] === restB[0])
  )
}
