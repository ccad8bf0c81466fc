import { test } from 'tap'
import { missingChartTools } from '../servers/kubeconform.ts'
import { ciValues, prepareCharts, render } from './charts.ts'

const skip = await missingChartTools()
const folderOf = skip ? undefined : await prepareCharts()

/** What would undo, by what a platform adds to Pods, what the chart does. */
const EXTRAS: { set: string[]; says: RegExp }[] = [
  ...[
    'ISSUER_URL',
    'ACCESS_TOKEN_TTL',
    'MASTER_KEY',
    'MASTER_KEY_FILE',
    'INJECTOR_OPT_OUT',
    'UPSTREAM',
    'ISSUER_NEW',
    'DATA_DIR',
  ].map((name) => ({
    set: [`extraEnv[0].name=${name}`, 'extraEnv[0].value=x'],
    says: new RegExp(`extraEnv\\[0\\]: ${name} is a setting of the program: `),
  })),
  { set: ['extraEnv[0].name=FEED_TOKEN', ...secretOf('extraEnv[0]')], says: /extraEnv\[0\]: FEED_TOKEN is a setting/ },
  { set: ['extraEnv[0].name=NODE_TLS_REJECT_UNAUTHORIZED', 'extraEnv[0].value=x'], says: /any certificate accepted/ },
  ...['--inspect=0.0.0.0:9229', '--max-http-header-size=1 --insecure_http_parser', '--tls-min-v1.0'].map((options) => ({
    set: ['extraEnv[0].name=NODE_OPTIONS', `extraEnv[0].value=${options}`],
    says: /extraEnv\[0\]: NODE_OPTIONS: --.* opens what is closed/,
  })),
  { set: ['extraEnv[0].name=NODE_OPTIONS', ...secretOf('extraEnv[0]')], says: /NODE_OPTIONS is needed as value/ },
  {
    set: ['extraEnv[0].name=VAULT_TOKEN', 'extraEnv[0].value=x'],
    says: /VAULT_TOKEN looks like a secret.*secretKeyRef/,
  },
  {
    set: ['extraEnv[0].name=HTTPS_PROXY', 'extraEnv[0].value=http://me:pass@proxy:3128'],
    says: /HTTPS_PROXY looks like a secret/,
  },
  {
    set: ['extraEnv[0].name=A', 'extraEnv[0].value=x', 'extraEnv[1].name=A', 'extraEnv[1].value=y'],
    says: /extraEnv\[1\]: A is there twice/,
  },
  { set: ['extraEnv[0].name=A'], says: /extraEnv.0/ },
  { set: ['extraEnv[0].name=A', 'extraEnv[0].value=x', ...secretOf('extraEnv[0]')], says: /extraEnv.0/ },
  { set: ['extraVolumes[0].name=node', 'extraVolumes[0].hostPath.path=/'], says: /hostPath/ },
  {
    set: ['extraVolumeMounts[0].name=secrets', 'extraVolumeMounts[0].mountPath=/mnt/x'],
    says: /extraVolumeMounts\[0\]: secrets is none of extraVolumes/,
  },
  ...['/run/secrets/sallyport', '/app', '/', '/mnt', '/mnt/../app', '/data'].map((path) => ({
    set: ['extraVolumes[0].name=x', 'extraVolumeMounts[0].name=x', `extraVolumeMounts[0].mountPath=${path}`],
    says: /extraVolumeMounts.0.mountPath/,
  })),
  {
    set: [
      'extraInitContainers[0].name=x',
      'extraInitContainers[0].image=x',
      'extraInitContainers[0].volumeMounts[0].name=tls',
      'extraInitContainers[0].volumeMounts[0].mountPath=/x',
    ],
    says: /extraInitContainers\[0\]\.volumeMounts: tls is none of extraVolumes/,
  },
]

function secretOf(field: string): string[] {
  return [`${field}.valueFrom.secretKeyRef.name=x`, `${field}.valueFrom.secretKeyRef.key=y`]
}

const OWN: Record<string, { volume: string; container: string }> = {
  issuer: { volume: 'secrets', container: 'migrate' },
  injector: { volume: 'template', container: 'injector' },
}

for (const [chart, helm] of [
  ['issuer', 'helm3'],
  ['injector', 'helm4'],
] as const) {
  const { volume, container } = OWN[chart]!
  const rows = [
    ...EXTRAS,
    {
      set: [`extraVolumes[0].name=${volume}`, 'extraVolumes[0].secret.secretName=x'],
      says: new RegExp(`extraVolumes\\[0\\]: ${volume} is what a volume of the chart is called`),
    },
    {
      set: [`extraInitContainers[0].name=${container}`, 'extraInitContainers[0].image=x'],
      says: new RegExp(`extraInitContainers\\[0\\]: ${container} is what a container of the chart is called`),
    },
  ]
  for (const { set, says } of rows) {
    test(`${helm} refuses ${chart}: ${set.join(', ')}`, { skip }, async (t) => {
      const files = ciValues(chart).filter((file) => /(embedded|minimal)-values/.test(file))
      const args = set.flatMap((value) => ['--set', value])
      await t.rejects(render(folderOf!(chart), { helm, files, args }), { message: says })
    })
  }
}
