import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ROLES, type Role } from '../../bin/known-settings.ts'
import { defaultOf, SETTINGS, settingNames } from '../../bin/settings-table.ts'
import type { Setting, Traits } from '../../shared/settings.ts'

// What docs/configuration.md has from the tables of settings; `node test/docs/write.ts` brings it up to date.

export const FILE = fileURLToPath(new URL('../../docs/configuration.md', import.meta.url))

/** The parts of the page that are made from the code, by the names of their marks. */
const PARTS: Record<string, () => string> = {
  reference: () => ROLES.map(chapter).join('\n'),
  everywhere: () => namesOf(({ same }) => same === 'everywhere'),
  issuers: () => namesOf(({ same }) => same === 'issuers'),
  live: () => namesOf(({ live = false }) => live),
}

/** The page with every such part as it has to be. Throws an error where one is not marked. */
export function configurationPage(text = readFileSync(FILE, 'utf8')): string {
  return Object.entries(PARTS).reduce((page, [name, make]) => {
    const part = new RegExp(`(<!-- ${name} -->\\n)[\\s\\S]*?(\\n<!-- /${name} -->)`)
    if (!part.test(page)) throw new Error(`${FILE} has no <!-- ${name} --> … <!-- /${name} -->`)
    return page.replace(part, (_whole, start: string, end: string) => `${start}${make()}${end}`)
  }, text)
}

const TITLES: Record<Role, string> = {
  issuer: 'Issuer',
  sidecar: 'Sidecar',
  injector: 'Injector',
  demo: 'Demo service',
}

type Row = [name: string, setting: Setting<unknown>]

/** All a role reads, section by section. What an earlier role reads in the same way is named only. */
function chapter(role: Role): string {
  const rows = Object.entries(SETTINGS[role])
  const titles = [...new Set(rows.map(([name, { section }]) => section ?? fail(`${name} is in no section`)))]
  const parts = titles.map((title) => {
    const [own, known] = split(
      rows.filter(([, { section }]) => section === title),
      (row) => earlier(role, row) === undefined,
    )
    const lines = own.map(tableRow)
    const table = ['| setting | value | default | what it means |', '| --- | --- | --- | --- |', ...lines, ''].join(
      '\n',
    )
    const heading = `### ${headingOf(role, title)}\n`
    return [heading, ...(own.length > 0 ? [table] : []), ...sameAs(role, known)].join('\n')
  })
  return [`## ${TITLES[role]}\n`, ...parts].join('\n')
}

const headingOf = (role: Role, title: string) => `${TITLES[role]}: ${title[0]!.toLowerCase()}${title.slice(1)}`

function tableRow([name, setting]: Row): string {
  const { meaning, secret, same, live } = setting
  const notes = [
    ...(secret ? ['secret'] : []),
    ...(same === 'issuers' ? ['the same for every issuer'] : []),
    ...(same === 'everywhere' ? ['the same everywhere'] : []),
    ...(live ? ['read again when it changes'] : []),
  ]
  const noted = notes.length > 0 ? `${meaning} *(${notes.join('; ')})*` : meaning
  const cells = [settingNames(name, setting), valuesOf(setting), defaultOf(setting), noted]
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
}

/** What its values are; the page says once how each kind is written. */
function valuesOf({ kind: { expects } }: Setting<unknown>): string {
  return expects
    .replace(/^a list, separated by commas, of: (?:a |an |one of )?/, 'list of: ')
    .replace(/text that is not empty$/, 'text')
    .replace(/(a (?:duration|size) .*), such as .*/, '$1')
    .replace(/^(?:one or more|a|an) /, '')
}

/** The earlier role that reads the setting in the same way. */
function earlier(role: Role, [name, setting]: Row): Role | undefined {
  return ROLES.slice(0, ROLES.indexOf(role)).find((other) => {
    const found = SETTINGS[other][name]
    return found?.kind.expects === setting.kind.expects && found.meaning === setting.meaning
  })
}

function sameAs(role: Role, rows: Row[]): string[] {
  const others = new Map<string, string[]>()
  for (const row of rows) {
    const other = earlier(role, row)!
    const heading = headingOf(other, SETTINGS[other][row[0]]!.section!)
    others.set(heading, [...(others.get(heading) ?? []), `\`${row[0]}\``])
  }
  return [...others].map(([heading, names]) => `${names.join(', ')}: as in [${heading}](#${anchorOf(heading)}).\n`)
}

/** As GitHub makes it. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^a-z0-9 -]/g, '')
    .replaceAll(' ', '-')

/** The names of the settings of any role that are so, each once. */
function namesOf(isSo: (traits: Traits) => boolean): string {
  const rows = ROLES.flatMap((role) => Object.entries(SETTINGS[role]))
  return [...new Set(rows.filter(([, setting]) => isSo(setting)).map(([name]) => `\`${name}\``))].join(', ')
}

function split<T>(items: T[], isFirst: (item: T) => boolean): [T[], T[]] {
  return [items.filter(isFirst), items.filter((item) => !isFirst(item))]
}

function fail(message: string): never {
  throw new Error(message)
}
