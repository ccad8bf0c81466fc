import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { CLASSES } from '../attack/classes.ts'
import { attacksList, attacksTable } from '../attack/documentation.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const TEXT = readFileSync(join(ROOT, 'docs', 'attacks.md'), 'utf8')

/** What stands between the marks of one part. */
function part(name: string): string {
  return new RegExp(`<!-- ${name}: .* -->\\n([\\s\\S]*?)<!-- /${name} -->`).exec(TEXT)?.[1] ?? ''
}

test('docs/attacks.md has every attack as it is: else run node test/attack/documentation.ts', async (t) => {
  t.equal(part('table').trim(), attacksTable())
  t.equal(part('list').trim(), attacksList())
})

test('what a class is said to be tested in is there', async (t) => {
  for (const { id, alsoTestedIn } of CLASSES) {
    for (const file of alsoTestedIn) t.ok(existsSync(join(ROOT, file)), `${id}: ${file}`)
  }
})

test('every attack has a name of its own', async (t) => {
  t.equal(new Set(CLASSES.map(({ id }) => id)).size, CLASSES.length)
  for (const { id, rows } of CLASSES) {
    const names = rows.map(({ sent }) => sent)
    t.same(
      names.filter((name, i) => names.indexOf(name) !== i),
      [],
      id,
    )
  }
})
