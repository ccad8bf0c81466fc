import { randomUUID } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { AccessClaims } from '../shared/access-token.ts'
import { createRevocationList } from '../sidecar/domain/revocation-list.ts'

// What the revocation list costs: bytes an entry, and nanoseconds for adding, checking and sweeping.
// node --expose-gc bench/revocation-list.ts [--entries 1000000,10000000]

const CHECKS = 1_000_000
// As many as the token cache holds by default.
const SAMPLE = 10_000

const { values } = parseArgs({ options: { entries: { type: 'string', default: '1000000,10000000' } } })

for (const entries of values.entries.split(',').map(Number)) {
  const list = createRevocationList()
  const revoked = Array.from({ length: SAMPLE }, () => randomUUID())
  const before = await memory()
  let worst = 0
  const begin = performance.now()
  for (let i = 0; i < entries; i++) {
    const sid = revoked[i] ?? randomUUID()
    const at = performance.now()
    list.add({ kind: 'session', sid, sub: sid, exp: 1_000_000 + (i % 300) })
    worst = Math.max(worst, performance.now() - at)
  }
  const adding = performance.now() - begin
  const bytes = (await memory()) - before

  const known = revoked.map(claimsOf)
  const unknown = Array.from({ length: SAMPLE }, () => claimsOf(randomUUID()))
  const missing = nanosecondsPerCheck(list, unknown, false)
  const finding = nanosecondsPerCheck(list, known, true)

  let longestSweep = 0
  for (let n = 0; n < 16; n++) {
    const at = performance.now()
    list.sweep(1_000_000 + 149)
    longestSweep = Math.max(longestSweep, performance.now() - at)
  }
  console.log(
    `${entries} entries: ${(bytes / entries).toFixed(1)} bytes an entry (${(bytes / 1e6).toFixed(1)} MB), ` +
      `check ${missing.toFixed(0)} ns when not revoked, ${finding.toFixed(0)} ns when revoked; ` +
      `adding ${((adding * 1e6) / entries).toFixed(0)} ns with the id's making, ${worst.toFixed(1)} ms at worst; ` +
      `a sweep that forgets half of it ${longestSweep.toFixed(1)} ms at worst, ${list.size} left`,
  )
}

function claimsOf(sid: string): AccessClaims {
  // As a token's: text that `randomUUID` has put together takes longer to read than text that was parsed.
  return JSON.parse(JSON.stringify({ sid, sub: 'sub', epoch: 0, roles: [] })) as AccessClaims
}

async function memory(): Promise<number> {
  globalThis.gc?.()
  // Buffers are given back in the background.
  await setTimeout(500)
  globalThis.gc?.()
  await setTimeout(500)
  // The list is held in typed arrays; what else is on the heap comes and goes with the program's warming up.
  return process.memoryUsage().arrayBuffers
}

function nanosecondsPerCheck(list: ReturnType<typeof createRevocationList>, asked: AccessClaims[], expected: boolean) {
  let wrong = 0
  const begin = performance.now()
  for (let i = 0; i < CHECKS; i++) if (list.revokes(asked[i % asked.length]!, 'key-1') !== expected) wrong++
  const spent = performance.now() - begin
  if (wrong > 0) throw new Error(`${wrong} wrong answers`)
  return (spent * 1e6) / CHECKS
}
