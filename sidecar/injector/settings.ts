import { portConflicts } from '../../shared/port-conflicts.ts'
import {
  certificates,
  flag,
  list,
  oneOf,
  optional,
  port,
  readSettings,
  row,
  SettingsError,
  type SettingsTable,
  type SettingValues,
  section,
  text,
} from '../../shared/settings.ts'
import { SIDECAR_SETTINGS } from '../settings.ts'

/** Every setting of the injector. Each default carries its reason. */
export const INJECTOR_SETTINGS = {
  ...section('Addresses', {
    // Loopback: nothing is reachable from outside until someone says so.
    INJECTOR_HOST: row(text, '127.0.0.1', 'the address the admission webhook listens on'),
    INJECTOR_PORT: row(port, 8443, 'the port the admission webhook listens on, with TLS; 0 takes a free one'),
    INJECTOR_ADMIN_HOST: row(text, '127.0.0.1', "the address that the injector's health and metrics listen on"),
    INJECTOR_ADMIN_PORT: row(
      port,
      8444,
      "the port that the injector's health and metrics listen on; 0 takes a free one",
    ),
    // An API server speaks to webhooks with TLS only.
    INJECTOR_TLS_CERT_FILE: row(
      optional(text),
      undefined,
      'the certificate of the injector, and those between it and its authority, in PEM format',
      { live: true },
    ),
    INJECTOR_TLS_KEY_FILE: row(optional(text), undefined, 'the private key of INJECTOR_TLS_CERT_FILE in PEM format', {
      live: true,
    }),
    INJECTOR_TLS_CLIENT_CA: row(
      optional(certificates),
      undefined,
      'certificate authorities of which the API server has to have a certificate',
    ),
  }),
  ...section('Pods', {
    INJECTOR_TEMPLATE_FILE: row(
      optional(text),
      undefined,
      'the container and the volumes that Pods are given, YAML or JSON, as charts/injector renders it',
    ),
    // Jobs and DaemonSets of a labelled namespace have nothing to guard; who may create Pods there may run anything anyway.
    INJECTOR_OPT_OUT: row(
      flag,
      true,
      'whether a Pod may do without the sidecar, by the label `sallyport/inject: "false"`',
    ),
    INJECTOR_GUARDED_NAMESPACES: row(
      optional(list(text)),
      undefined,
      'namespaces in which a NetworkPolicy lets nobody reach more of an injected Pod than its sidecar',
    ),
    // Refused, every Pod that declares the port of its service would be, also those that listen on 127.0.0.1.
    INJECTOR_WHEN_EXPOSED: row(
      oneOf('warn', 'refuse'),
      'warn',
      'what becomes of a Pod of another namespace whose service looks as if others reach it: it declares its port, the kubelet asks there, or it is told to listen on every address',
    ),
  }),
  ...section('Logs and shutdown', {
    LOG_LEVEL: SIDECAR_SETTINGS.LOG_LEVEL,
    DRAIN_DELAY: SIDECAR_SETTINGS.DRAIN_DELAY,
    DRAIN_DEADLINE: SIDECAR_SETTINGS.DRAIN_DEADLINE,
  }),
} satisfies SettingsTable

const NEEDED = {
  INJECTOR_TLS_CERT_FILE: 'an API server speaks to webhooks with TLS only',
  INJECTOR_TLS_KEY_FILE: 'an API server speaks to webhooks with TLS only',
  INJECTOR_TEMPLATE_FILE: 'what Pods are given',
} as const

/** The settings as read; what is needed is there. */
export type InjectorSettings = SettingValues<typeof INJECTOR_SETTINGS> & Record<keyof typeof NEEDED, string>

/**
 * Reads the injector's settings.
 * @throws SettingsError that lists every problem at once
 */
export function readInjectorSettings(env: NodeJS.ProcessEnv): InjectorSettings {
  const values = readSettings(INJECTOR_SETTINGS, env)
  const problems = Object.entries(NEEDED)
    .filter(([name]) => values[name as keyof typeof NEEDED] === undefined)
    .map(([name, why]) => `${name}: is needed: ${why}`)
  const { INJECTOR_HOST, INJECTOR_PORT, INJECTOR_ADMIN_HOST, INJECTOR_ADMIN_PORT } = values
  const listeners = [
    { setting: 'INJECTOR_PORT', host: INJECTOR_HOST, port: INJECTOR_PORT },
    { setting: 'INJECTOR_ADMIN_PORT', host: INJECTOR_ADMIN_HOST, port: INJECTOR_ADMIN_PORT },
  ]
  problems.push(...portConflicts(listeners))
  if (problems.length > 0) throw new SettingsError(problems)
  return values as InjectorSettings
}
