import fc from 'fast-check'
import { test } from 'tap'
import { judgeRotation, RETRY_WINDOW_MS, type RotationClaim, type Session } from '../../issuer/domain/session.ts'
import { ADAPTERS, aSession } from '../helpers/stores.ts'
import { uniqueName } from '../helpers/unique-name.ts'

const IDLE_MS = 3_600_000

function claimOf(session: Session, given: Partial<RotationClaim> = {}): RotationClaim {
  const { sid, generation, nonceHash } = session
  return { sid, generation, nonceHash, nowMs: Date.now(), idleMs: IDLE_MS, ...given }
}

for (const { name, skip, place } of ADAPTERS) {
  test(`sessions in ${name}`, { skip }, async (t) => {
    const here = await place(t)
    const [{ sessions }, { sessions: others }] = await Promise.all([here.open(), here.open()])

    async function created(given: Partial<Session> = {}): Promise<Session> {
      const session = aSession(given)
      await sessions.create(session)
      return session
    }

    t.test('a session is found as it was created', async (t) => {
      for (const given of [
        {},
        { userAgent: null, address: null },
        { scope: 'orders:read users:read' },
        { userAgent: '' },
        { userAgent: 'Ünï "cödé" 🚪 \0' },
      ]) {
        const session = await created(given)
        t.same(await others.byId(session.sid), session)
      }
      t.equal(await sessions.byId('no such session'), undefined)
    })

    t.test('what rotation makes of a claim is in the store afterwards', async (t) => {
      const session = await created({ generation: 5 })
      const at = session.rotatedAt
      const rows: [what: string, claim: Partial<RotationClaim>, outcome: string, generation: number][] = [
        ['the current one', { generation: 5, nowMs: at + 10 }, 'rotated', 6],
        ['the one before, at the end of the window', { generation: 5, nowMs: at + 10 + RETRY_WINDOW_MS }, 'retry', 6],
        ['the one before, too late', { generation: 5, nowMs: at + 11 + RETRY_WINDOW_MS }, 'reused', 6],
        ['an older one', { generation: 4, nowMs: at + 10 }, 'reused', 6],
        ['one that the store had lost', { generation: 7, nowMs: at + 20 }, 'caught-up', 8],
        ['another nonce', { generation: 8, nonceHash: 'other' }, 'unknown', 8],
        ['a session there is not', { sid: 'no such session', generation: 8 }, 'unknown', 8],
        ['after the idle end', { generation: 8, nowMs: at + 20 + IDLE_MS }, 'unknown', 8],
      ]
      for (const [what, claim, outcome, generation] of rows) {
        const answer = await others.rotate(claimOf(session, claim))
        t.equal(answer.outcome, outcome, what)
        const after = await sessions.byId(session.sid)
        t.equal(after?.generation, generation, `${what}: the generation in the store`)
        if (answer.outcome !== 'unknown') t.same(answer.session, after, `${what}: the answer is what is in the store`)
      }
    })

    t.test('rotation moves the idle end, never past the absolute one', async (t) => {
      const session = await created()
      const nowMs = session.expiresAt - 1000
      await sessions.rotate(claimOf(session, { nowMs: session.idleExpiresAt - 1, idleMs: 86_400_000 }))
      t.equal((await sessions.byId(session.sid))?.idleExpiresAt, session.expiresAt)
      t.equal((await sessions.rotate(claimOf(session, { generation: 1, nowMs }))).outcome, 'rotated')
      const late = claimOf(session, { generation: 2, nowMs: session.expiresAt })
      t.equal((await sessions.rotate(late)).outcome, 'unknown')
    })

    t.test('any sequence of claims is judged as judgeRotation judges it', async (t) => {
      // Steps from an instant to the next, backwards too: issuers' clocks differ.
      const step = fc.record({
        ahead: fc.integer({ min: -3, max: 3 }),
        forward: fc.oneof(
          fc.integer({ min: -2000, max: 2000 }),
          fc.integer({ min: RETRY_WINDOW_MS - 2, max: RETRY_WINDOW_MS + 2 }),
          fc.integer({ min: 50_000, max: 70_000 }),
        ),
        idleMs: fc.integer({ min: 1, max: 120_000 }),
        rightNonce: fc.integer({ min: 0, max: 9 }).map((n) => n > 0),
      })
      const start = fc.record({
        generation: fc.integer({ min: 0, max: 2 ** 32 - 10 }),
        idleMs: fc.integer({ min: 1, max: 120_000 }),
        lifetimeMs: fc.integer({ min: 1, max: 400_000 }),
      })
      const check = async (given: { generation: number; idleMs: number; lifetimeMs: number }, steps: StepOf[]) => {
        // In the future, so that the store's own clock does not delete what the claims' time still keeps.
        const begin = Date.now() + 3_600_000
        let model = await created({
          generation: given.generation,
          createdAt: begin,
          rotatedAt: begin,
          expiresAt: begin + given.lifetimeMs,
          idleExpiresAt: begin + Math.min(given.idleMs, given.lifetimeMs),
        })
        let nowMs = begin
        for (const { ahead, forward, idleMs, rightNonce } of steps) {
          nowMs += forward
          const generation = Math.max(0, model.generation + ahead)
          const claim = claimOf(model, { generation, nowMs, idleMs, ...(!rightNonce && { nonceHash: 'other' }) })
          const expected = judgeRotation(model, claim)
          t.strictSame(await sessions.rotate(claim), expected)
          if (expected.outcome !== 'unknown') model = expected.session
          t.strictSame(await others.byId(model.sid), model)
        }
      }
      type StepOf = typeof step extends fc.Arbitrary<infer T> ? T : never
      await fc.assert(fc.asyncProperty(start, fc.array(step, { minLength: 1, maxLength: 12 }), check), { numRuns: 100 })
    })

    t.test('100 refreshes with one token at once: one rotates, the rest get the same successor', async (t) => {
      const session = await created()
      const answers = await Promise.all(
        Array.from({ length: 100 }, (_, n) => (n % 2 ? sessions : others).rotate(claimOf(session))),
      )
      const count = (outcome: string) => answers.filter((answer) => answer.outcome === outcome).length
      t.equal(count('rotated'), 1)
      t.equal(count('retry'), 99)
      t.ok(answers.every((answer) => answer.outcome !== 'unknown' && answer.session.generation === 1))
    })

    t.test("a user's live sessions are listed, newest first", async (t) => {
      const sub = uniqueName('user')
      const now = Date.now()
      const made = []
      for (const n of [2, 3, 1]) made.push(await created({ sub, createdAt: now - n * 1000 }))
      await created({ sub: uniqueName('another') })
      const [second, third, first] = made
      t.same(await others.list(sub, now), [first, second, third])
      await sessions.end(second!.sid)
      t.same(await others.list(sub, now), [first, third])
      t.same(await sessions.list(sub, first!.idleExpiresAt), [], 'not those that ended by themselves')
      t.same(await sessions.list('nobody', now), [])
    })

    t.test('who creates one learns how many there are, whoever else does at the same time', async (t) => {
      const sub = uniqueName('user')
      t.equal(await sessions.create(aSession({ sub })), 1)
      t.equal(await others.create(aSession({ sub })), 2)
      const counts = await Promise.all(
        Array.from({ length: 10 }, (_, n) => (n % 2 ? sessions : others).create(aSession({ sub }))),
      )
      t.equal(Math.max(...counts), 12, 'the last one sees all of them')
      await created({ sub: uniqueName('another') })
      t.equal(await sessions.create(aSession({ sub })), 13)
    })

    t.test('a session that is carried over survives the end of the others', async (t) => {
      const sub = uniqueName('user')
      const [kept, other] = [await created({ sub }), await created({ sub })]
      t.equal(await others.carryOver(kept.sid, 3), true)
      t.equal(await sessions.carryOver('no such session', 3), false)
      t.equal(await sessions.byId('no such session'), undefined, 'and none has come to be')
      t.equal(await sessions.endAll(sub, 3, Date.now()), 1)
      t.same(await others.byId(kept.sid), { ...kept, epoch: 3 })
      t.equal(await sessions.byId(other.sid), undefined)
      t.equal((await sessions.rotate(claimOf(kept))).outcome, 'rotated')
    })

    t.test('a session ends once and stays ended', async (t) => {
      const session = await created()
      t.equal(await others.end(session.sid), true)
      t.equal(await sessions.end(session.sid), false)
      t.equal(await sessions.byId(session.sid), undefined)
      t.same(await sessions.rotate(claimOf(session)), { outcome: 'unknown' })
      t.equal(await sessions.end('no such session'), false)
    })

    t.test('ending all spares the sessions of the new epoch and of others', async (t) => {
      const sub = uniqueName('user')
      const now = Date.now()
      for (const epoch of [0, 1, 1]) await created({ sub, epoch })
      await created({ sub, epoch: 0, idleExpiresAt: now + 60_000 })
      const kept = await created({ sub, epoch: 2 })
      const other = await created({ epoch: 0 })
      t.equal(await others.endAll(sub, 2, now + 120_000), 3, 'one of the four had ended by itself')
      t.same(await sessions.list(sub, now), [kept])
      t.same(await sessions.byId(other.sid), other)
      t.equal(await sessions.endAll(sub, 2, now), 0)
      t.equal(await sessions.endAll('nobody', 9, now), 0)
    })

    t.test('of 700 sessions none is left', async (t) => {
      const sub = uniqueName('user')
      // Some at a time: a command that waits behind so many others has a second, also on a busy machine.
      for (let n = 0; n < 7; n++) await Promise.all(Array.from({ length: 100 }, () => created({ sub })))
      t.equal((await others.list(sub, Date.now())).length, 700)
      t.equal(await others.endAll(sub, 1, Date.now()), 700)
      t.same(await sessions.list(sub, Date.now()), [])
    })

    t.test('a refresh that races the end brings no session back; a login of the new epoch survives it', async (t) => {
      const sub = uniqueName('user')
      const old = await Promise.all(Array.from({ length: 30 }, () => created({ sub, epoch: 4 })))
      const fresh: Session[] = []
      await Promise.all([
        ...old.map((session) => others.rotate(claimOf(session))),
        sessions.endAll(sub, 5, Date.now()),
        ...Array.from({ length: 10 }, async () => fresh.push(await created({ sub, epoch: 5 }))),
        ...old.map((session) => others.rotate(claimOf(session))),
      ])
      const left = await sessions.list(sub, Date.now())
      t.same(left.map(({ sid }) => sid).sort(), fresh.map(({ sid }) => sid).sort())
      for (const { sid } of old) t.equal(await sessions.byId(sid), undefined)
    })
  })
}
