import { test } from 'tap'
import { SettingsError } from '../../../shared/settings.ts'
import { readInjectorSettings } from '../../../sidecar/injector/settings.ts'

const NEEDED = { INJECTOR_TLS_CERT_FILE: '/a', INJECTOR_TLS_KEY_FILE: '/b', INJECTOR_TEMPLATE_FILE: '/c' }

test('nothing is reachable from outside until someone says so', async (t) => {
  t.match(readInjectorSettings(NEEDED), {
    INJECTOR_HOST: '127.0.0.1',
    INJECTOR_PORT: 8443,
    INJECTOR_ADMIN_HOST: '127.0.0.1',
    INJECTOR_ADMIN_PORT: 8444,
    INJECTOR_OPT_OUT: true,
    DRAIN_DELAY: 0,
    DRAIN_DEADLINE: 30_000,
  })
})

test('what is needed is named, all at once', async (t) => {
  const problems = Object.entries({
    INJECTOR_TLS_CERT_FILE: 'an API server speaks to webhooks with TLS only',
    INJECTOR_TLS_KEY_FILE: 'an API server speaks to webhooks with TLS only',
    INJECTOR_TEMPLATE_FILE: 'what Pods are given',
  }).map(([name, why]) => `${name}: is needed: ${why}`)
  t.throws(() => readInjectorSettings({}), new SettingsError(problems))
  t.throws(() => readInjectorSettings({ ...NEEDED, INJECTOR_OPT_OUT: 'maybe' }), { name: 'SettingsError' })
  t.throws(
    () => readInjectorSettings({ ...NEEDED, INJECTOR_PORT: '8444' }),
    new SettingsError(['INJECTOR_ADMIN_PORT: 8444 is the port of INJECTOR_PORT as well; choose another']),
  )
})
