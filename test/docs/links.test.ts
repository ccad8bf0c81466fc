import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const PAGES = globSync(['*.md', '.github/*.md', 'docs/*.md', 'charts/*/README.md'], { cwd: ROOT }).sort()

/** Without what a block shows: there `#` begins a comment. */
const textOf = (path: string) => readFileSync(join(ROOT, path), 'utf8').replace(/^```[\s\S]*?^```$/gm, '')

/** The anchors of a page, as GitHub makes them. */
function anchorsOf(path: string): Set<string> {
  const anchors = new Set<string>()
  for (const [, heading = ''] of textOf(path).matchAll(/^#{1,6} (.+)$/gm)) {
    const anchor = heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-')
    for (let name = anchor, n = 1; ; name = `${anchor}-${n++}`) {
      if (anchors.has(name)) continue
      anchors.add(name)
      break
    }
  }
  return anchors
}

test('every link between pages leads somewhere', async (t) => {
  t.ok(PAGES.length > 10)
  for (const page of PAGES) {
    const links = [...textOf(page).matchAll(/\]\((?!https?:|mailto:)([^)\s]+)\)/g)].map(([, link]) => link!)
    const broken = links.filter((link) => {
      const [path = '', anchor] = link.split('#')
      const target = path === '' ? page : join(dirname(page), path)
      if (!existsSync(join(ROOT, target))) return true
      return anchor !== undefined && target.endsWith('.md') && !anchorsOf(target).has(anchor)
    })
    t.same(broken, [], page)
  }
})
