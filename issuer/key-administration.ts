import { systemClock } from '../shared/clock.ts'
import { createLog } from '../shared/log.ts'
import { createMetrics } from '../shared/metrics.ts'
import { createAudit } from './adapters/audit.ts'
import { readOrCreateMasterKey } from './adapters/master-key-file.ts'
import type { Administration } from './administration.ts'
import { createEndEveryone, type EndEveryone } from './domain/end-everyone.ts'
import { longestLifetimeS } from './domain/issuer-report.ts'
import { createRevokeKey, type RevokeKey } from './domain/revoke-key.ts'
import type { RotateKeys } from './domain/rotate-keys.ts'
import { publicKeyState } from './domain/signing-key.ts'
import { keyRules, openKeys } from './keys.ts'
import { readIssuerSettings } from './settings.ts'

/** What the command line does with signing keys. Running issuers notice within seconds. */
export interface KeyAdministration {
  list(): Promise<ReturnType<typeof publicKeyState>[]>
  rotate: RotateKeys['rotate']
  /** The ledger has it then; a running issuer publishes it. */
  revoke: RevokeKey
  /** Every session and every token, of everybody. */
  endEveryone: EndEveryone
}

/** Opens what is needed only when it is: a list needs no master key and makes no first key. */
export function administerKeys(
  env: NodeJS.ProcessEnv,
  { stores, announceKey: announce }: Pick<Administration, 'stores' | 'announceKey'>,
): KeyAdministration {
  const settings = readIssuerSettings({ LOG_LEVEL: 'warn', ...env })
  const log = createLog('command', settings.LOG_LEVEL, process.stderr)
  const audit = createAudit(log, createMetrics())
  const { users, signingKeys, issuerReports } = stores
  const clock = systemClock

  const readRules = async () => {
    const longestS = longestLifetimeS(await issuerReports.all(), clock.now())
    return keyRules(settings, () => longestS)
  }
  const open = async () => {
    const rules = await readRules()
    const masterKeys = settings.MASTER_KEY ?? [readOrCreateMasterKey(settings.DATA_DIR)]
    // A key of one's own is the business of the issuers that are started with it.
    return { rules, ...(await openKeys({ signingKeys, masterKeys, clock, audit, log }, rules, undefined)) }
  }

  return {
    async list() {
      const { lifetimeS } = await readRules()
      return (await signingKeys.all()).map((key) => publicKeyState(key, clock.now(), lifetimeS))
    },
    rotate: async (options) => (await open()).rotateKeys.rotate(options),
    async revoke(kid, by) {
      const { rules, ...keys } = await open()
      return createRevokeKey({ ...keys, signingKeys, announce, clock, audit }, rules)(kid, by)
    },
    async endEveryone(options) {
      // A wrong master key shows before anything is changed.
      const { rules, ...keys } = await open()
      const revokeKey = createRevokeKey({ ...keys, signingKeys, announce, clock, audit }, rules)
      return createEndEveryone({ users, signingKeys, revokeKey, audit, clock }, rules)(options)
    },
  }
}
