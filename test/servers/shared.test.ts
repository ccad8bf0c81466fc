import { join } from 'node:path'
import { test } from 'tap'
import { startNode } from '../helpers/process.ts'

// Each in a process of its own: it is about the environment, and what was found once is remembered.
const rows: { name: string; env: Record<string, string>; ask: string; answer: string | RegExp }[] = [
  {
    name: 'a server nobody can give is a reason to skip',
    env: { TEST_SERVERS_MISSING: 'kafka' },
    ask: `missing('kafka')`,
    answer: /^kafka can't be had here$/,
  },
  {
    name: 'a server that the environment names is there for those who share it',
    env: { TEST_SERVERS_MISSING: 'kafka', TEST_KAFKA_BROKERS: '127.0.0.1:1' },
    ask: `missingShared('kafka')`,
    answer: 'false',
  },
  {
    name: '… but not for those who must kill theirs',
    env: { TEST_SERVERS_MISSING: 'kafka', TEST_KAFKA_BROKERS: '127.0.0.1:1' },
    ask: `missing('kafka')`,
    answer: /can't be had/,
  },
  {
    name: 'the shared address is the one given',
    env: { TEST_REDIS_URL: 'redis://127.0.0.1:1' },
    ask: `sharedUrl('redis')`,
    answer: 'redis://127.0.0.1:1',
  },
  {
    name: 'in CI nothing is skipped …',
    env: { TEST_SERVERS_MISSING: 'kafka', CI: 'true' },
    ask: `missing('kafka')`,
    answer: 'false',
  },
  {
    name: '… so that it fails with the reason',
    env: { TEST_SERVERS_MISSING: 'mongo', SALLYPORT_REQUIRE_SERVERS: '1' },
    ask: `sharedUrl('mongo').catch((error) => error.message)`,
    answer: /MongoDB can't be had/,
  },
  {
    name: 'what was tried and what helps is in the error',
    env: { PATH: '', SALLYPORT_REQUIRE_SERVERS: '1' },
    ask: `sharedUrl('redis').catch((error) => error.message.replaceAll('\\n', ' '))`,
    answer:
      /^Redis can't be had here\. Set TEST_REDIS_URL .* install redis-server.*Docker: no engine.*PATH: .*package registry: apt-get/,
  },
]

for (const { name, env, ask, answer } of rows) {
  test(name, async (t) => {
    const script = `
      import * as shared from '${import.meta.resolve('./shared.ts')}'
      const { missing, missingShared, sharedUrl } = shared
      console.log('answer: ' + await ${ask})`
    const folder = t.testdir({ 'ask.mjs': script, cache: {} })
    const child = startNode(t, join(folder, 'ask.mjs'), {
      env: { SALLYPORT_TEST_CACHE: join(folder, 'cache'), ...env },
    })
    const [, given = ''] = await child.waitForLine(/^answer: (.*)$/)
    if (typeof answer === 'string') t.equal(given, answer)
    else t.match(given, answer)
  })
}
