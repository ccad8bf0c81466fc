import { execFile } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { test } from 'tap'
import { parse } from 'yaml'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const PROGRAM = join(ROOT, 'bin/sallyport.ts')
const PAGES = ['README.md', ...globSync('docs/*.md', { cwd: ROOT }), ...globSync('charts/*/README.md', { cwd: ROOT })]
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')
const run = promisify(execFile)

/** What stands in code blocks of a page, line by line, and what stands in backticks. */
function codeOf(page: string): string[] {
  const blocks = [...page.matchAll(/^ *```\S*[^\n]*\n([\s\S]*?)^ *```$/gm)].flatMap(([, block]) => block!.split('\n'))
  const prose = page.replaceAll(/^ *```[\s\S]*?^ *```$/gm, '')
  return [...blocks, ...[...prose.matchAll(/`([^`]+)`/g)].map(([, code]) => code!.replaceAll('\n', ' '))]
}

// Where a shell looks for a program: `helm install sallyport` is not one.
const COMMAND =
  /(?:^|[|&(;] ?|-- |npx |exec (?:-\S+ )*[\w/.-]+ )\s*(?:[A-Z_]+=(?:"[^"]*"|\S+) )*sallyport(?=$|\s)([^|;&#>)]*)/

/** The words after `sallyport` of each command line of a page. */
function commandsOf(page: string): string[][] {
  return codeOf(page).flatMap((line) => {
    const [, rest] = COMMAND.exec(line) ?? []
    return rest === undefined ? [] : [rest.trim().split(/\s+/).filter(Boolean)]
  })
}

const helps = new Map<string, Promise<string>>()
function helpOf(path: readonly string[]): Promise<string> {
  const key = path.join(' ')
  if (!helps.has(key))
    helps.set(
      key,
      run(process.execPath, [PROGRAM, ...path, '--help']).then(({ stdout }) => stdout),
    )
  return helps.get(key)!
}

/** @returns what is wrong with it, by what the program itself says of its commands */
async function problemOf(words: readonly string[]): Promise<string | undefined> {
  const path: string[] = []
  let rest = [...words]
  for (;;) {
    const help = await helpOf(path)
    const [, commands] = /^Commands:\n([\s\S]*)/m.exec(help) ?? []
    if (commands === undefined) break
    const known = [...commands.matchAll(/^ {2}(\S+)/gm)].map(([, name]) => name!)
    const [next, ...others] = rest
    if (next === undefined || /^(?:…|\.\.\.|--?\w.*|\[.*)$/.test(next)) break
    if (!known.includes(next)) return `no command ${[...path, next].join(' ')}`
    path.push(next)
    rest = others
  }
  const help = await helpOf(path)
  for (const word of rest) {
    const [, option] = /^\[?(--?[a-z][\w-]*)/.exec(word) ?? []
    if (option !== undefined && !new RegExp(`^ {2}(?:.*, )?${option}\\b`, 'm').test(help)) return `no option ${option}`
  }
  const isWhole = !rest.some((word) => /…|\.\.\./.test(word))
  const required = [...(/^Usage: .*/m.exec(help)?.[0] ?? '').matchAll(/<[\w-]+(?:\.\.\.)?>/g)].length
  if (rest.length > 0 && isWhole && rest.filter((word) => !word.startsWith('-')).length < required) {
    return `it needs ${required} arguments`
  }
  return undefined
}

test('every command of the pages is one of the command line, with options that it has', async (t) => {
  let count = 0
  for (const page of PAGES) {
    for (const words of commandsOf(read(page))) {
      count++
      t.equal(await problemOf(words), undefined, `${page}: sallyport ${words.join(' ')}`)
    }
  }
  t.ok(count > 50, `${count} commands`)
})

test('it would tell', async (t) => {
  const page =
    '`sallyport keys forget`\n```sh\nA=1 sallyport users list --unheard-of # x\nkubectl exec deploy/x -- sallyport users set-roles ada\n```\n`helm install sallyport charts/issuer`, `sallyport users …`'
  const problems = await Promise.all(commandsOf(page).map(problemOf))
  t.same(problems, ['no option --unheard-of', 'it needs 2 arguments', 'no command keys forget', undefined])
})

test('every metric that the pages name is one of docs/metrics.md', async (t) => {
  const documented = new Set([...read('docs/metrics.md').matchAll(/^\| `([a-z_]+)` \|/gm)].map(([, name]) => name!))
  const events = new Set([...read('docs/audit-log.md').matchAll(/^\| `([a-z_]+)` \|/gm)].map(([, name]) => name!))
  t.ok(documented.size > 40)
  const NAME =
    /\b(?:revocation|sidecar|jwks|injector|signing_key|password_hash|audit_events|logins|refreshes|mails)_[a-z_]+\b|\b[a-z]+_[a-z_]+_total\b/g
  for (const page of PAGES.filter((name) => name.startsWith('docs/'))) {
    for (const code of codeOf(read(page))) {
      for (const [found] of code.matchAll(NAME)) {
        const name = found.replace(/_(?:bucket|sum|count)$/, '')
        if (
          events.has(name) ||
          !/_(?:total|seconds|backlog|queue|running|open|complete|waiting|subscribers)$/.test(name)
        )
          continue
        t.ok(documented.has(name), `${page}: ${name}`)
      }
    }
  }
})

interface Alerts {
  groups: { rules: { alert: string }[] }[]
}

test('docs/operations.md: every alert has a runbook, every log line exists', async (t) => {
  const page = read('docs/operations.md')
  const alerts = (parse(read('charts/issuer/alerts.yaml')) as Alerts).groups.flatMap(({ rules }) => rules)
  for (const { alert } of alerts) t.match(page, `\`${alert}\``, alert)
  for (const [, name] of page.matchAll(/`(Sallyport\w+)`/g)) {
    t.ok(
      alerts.some(({ alert }) => alert === name),
      `${name} is an alert`,
    )
  }

  const sources = globSync('{issuer,sidecar,shared}/**/*.ts', { cwd: ROOT })
    .map(read)
    .join('\n')
    .replaceAll(/\s+/g, ' ')
  const [, table = ''] = /<!-- log -->\n([\s\S]*?)<!-- \/log -->/.exec(page) ?? []
  const lines = [
    ...table.matchAll(/^\| `(\w[^`]* [^`]*)` \|/gm),
    ...table.matchAll(/(?:ends|Ends) with `([^`]+)`/g),
  ].map(([, line]) => line!)
  t.ok(lines.length > 25)
  for (const line of lines) t.ok(sources.includes(`'${line}'`), line)
})
