import { administerKeys } from '../issuer/key-administration.ts'
import { administer } from './administer.ts'
import { createProgressBar } from './progress-bar.ts'

const EXIT_INTERRUPTED = 130

/**
 * Ends every session of everybody and prints what came of it. Exit code 130 when it was interrupted.
 * @param allKeys whether keys that have not signed are revoked too
 * @throws what it failed by, after what was done until then is printed
 */
export async function endAllSessions(env: NodeJS.ProcessEnv, allKeys: boolean): Promise<void> {
  const stop = new AbortController()
  const onSignal = () => stop.abort()
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal)
  const bar = createProgressBar(process.stderr)
  try {
    await administer(env, async (administration) => {
      const { users, keys, propagated, complete, failure } = await administerKeys(env, administration)
        .endEveryone({
          by: 'command line',
          allKeys,
          signal: stop.signal,
          onProgress: (count) => bar.update(undefined, `${count} users; then the keys`),
        })
        .finally(() => bar.end())
      process.stdout.write(`${JSON.stringify({ users, revoked_keys: keys, propagated, complete })}\n`)
      if (!complete) process.stderr.write(`${failure ? 'not finished' : 'interrupted'}; run it again\n`)
      if (failure) throw failure
      if (!complete) process.exitCode = EXIT_INTERRUPTED
    })
  } finally {
    process.removeListener('SIGINT', onSignal).removeListener('SIGTERM', onSignal)
  }
}
