import { test } from 'tap'
import { covers, createRoleGrants, ROLE_CACHE_MS } from '../../../issuer/domain/grants.ts'
import { PERMISSIONS } from '../../../issuer/domain/permissions.ts'
import type { Role } from '../../../issuer/domain/role.ts'
import { manualClock } from '../build.ts'

function role(name: string, permissions: string[]): Role {
  return { name, description: '', permissions, createdAt: 0, updatedAt: 0 }
}

function grantsOver(stored: Role[]) {
  const clock = manualClock()
  let reads = 0
  const roles = {
    all: async () => {
      reads++
      return [...stored]
    },
  }
  return { grants: createRoleGrants({ roles, clock }), clock, reads: () => reads }
}

test('the permissions of several roles are sorted, each once; a role that does not exist grants nothing', async (t) => {
  const { grants } = grantsOver([role('b', ['x:2', 'x:1']), role('a', ['x:1', 'a:1'])])
  t.same(await grants.of(['b', 'gone', 'a']), { roles: ['b', 'a'], permissions: ['a:1', 'x:1', 'x:2'] })
  t.same(await grants.of([]), { roles: [], permissions: [] })
  t.same(await grants.of(['__proto__', 'constructor']), { roles: [], permissions: [] })
})

test('the superuser has every permission that is asked for or that any role grants', async (t) => {
  const { grants } = grantsOver([role('superuser', []), role('editor', ['articles:write'])])
  const { permissions } = await grants.of(['superuser'])
  t.same(permissions, [...Object.keys(PERMISSIONS), 'articles:write'].sort())
  const without = grantsOver([role('editor', ['articles:write'])]).grants
  t.same(await without.of(['superuser']), { roles: [], permissions: [] }, 'by the role in the store, not by its name')
})

test('the store is asked once in a few seconds, by however many at once', async (t) => {
  const stored = [role('a', ['x'])]
  const { grants, clock, reads } = grantsOver(stored)
  await Promise.all(Array.from({ length: 100 }, () => grants.of(['a'])))
  t.equal(reads(), 1)
  stored[0] = role('a', ['y'])
  clock.advance(ROLE_CACHE_MS - 1)
  t.same((await grants.of(['a'])).permissions, ['x'], 'what another issuer changed is not known yet')
  clock.advance(1)
  t.same((await grants.of(['a'])).permissions, ['y'], 'now it is')
  t.equal(reads(), 2)
})

test('what was changed here holds at once, even when it was being read', async (t) => {
  const answers: ((roles: Role[]) => void)[] = []
  const grants = createRoleGrants({
    roles: { all: () => new Promise((resolve) => answers.push(resolve)) },
    clock: manualClock(),
  })
  const before = grants.of(['a'])
  grants.forget()
  const after = grants.of(['a'])
  answers[1]!([role('a', ['new'])])
  t.same((await after).permissions, ['new'])
  answers[0]!([role('a', ['old'])])
  t.same((await before).permissions, ['old'], 'who asked earlier gets what there was')
  t.same((await grants.of(['a'])).permissions, ['new'], 'and nobody later')
  t.equal(answers.length, 2)
})

test('a store that fails is asked again', async (t) => {
  let fails = true
  const grants = createRoleGrants({
    roles: {
      all: async () => {
        if (fails) throw new Error('away')
        return [role('a', ['x'])]
      },
    },
    clock: manualClock(),
  })
  await t.rejects(grants.of(['a']), /away/)
  fails = false
  t.same((await grants.of(['a'])).permissions, ['x'])
})

test('nobody covers what they do not have', async (t) => {
  const of = (roles: string[], permissions: string[] = []) => ({ roles, permissions })
  t.ok(covers(of(['superuser']), of(['superuser'])))
  t.ok(covers(of(['superuser']), of(['x'], ['anything'])))
  t.ok(covers(of(['a'], ['x', 'y']), of(['b'], ['y'])))
  t.ok(covers(of([]), of(['subscriber'])))
  t.notOk(covers(of(['a'], ['x']), of(['b'], ['x', 'y'])))
  t.notOk(covers(of(['a'], Object.keys(PERMISSIONS)), of(['superuser'])), 'all of today is not all')
})
