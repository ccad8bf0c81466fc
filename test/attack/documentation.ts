import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { CLASSES } from './classes.ts'
import type { AttackClass } from './row.ts'

/** Where every row is run against a real sidecar. */
const TESTED_IN = 'test/attack/rows.test.ts'

const cell = (text: string) => text.replaceAll('|', '\\|')

/** The table of all classes in docs/attacks.md, which `node test/attack/documentation.ts` brings up to date. */
export function attacksTable(): string {
  const row = ({ id, title, known, holds, rows, alsoTestedIn }: AttackClass) => {
    const files = [TESTED_IN, ...alsoTestedIn].map(
      (file) => `[${file.replace(/^test\/|\.test\.ts$/g, '')}](../${file})`,
    )
    return `| ${cell(title)} (\`${id}\`, ${rows.length}) | ${known.join(', ')} | ${cell(holds)} | ${files.join(', ')} |`
  }
  return [
    '| class (id, attacks) | known cases | what must hold | tested in |',
    '| --- | --- | --- | --- |',
    ...CLASSES.map(row),
  ].join('\n')
}

/** Every attack, class by class: what is sent, and what has to come of it. */
export function attacksList(): string {
  return CLASSES.map(({ title, rows }) => {
    const lines = rows.map(({ sent, expected }) => `- ${printable(sent)}: ${expected}`)
    return `### ${title}\n\n${lines.join('\n')}`
  }).join('\n\n')
}

/** Markdown that shows these characters and nothing else. */
function printable(text: string): string {
  return text
    .replace(/[^\x20-\x7e‘’“”…–]/g, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`)
    .replace(/[\\`*_<>[\]#|~]/g, '\\$&')
}

const FILE = fileURLToPath(new URL('../../docs/attacks.md', import.meta.url))
const PARTS = { table: attacksTable, list: attacksList }

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  let text = readFileSync(FILE, 'utf8')
  for (const [name, make] of Object.entries(PARTS)) {
    const part = new RegExp(`(<!-- ${name}: .* -->\\n)[\\s\\S]*?(<!-- /${name} -->)`)
    text = text.replace(part, (_whole, start: string, end: string) => `${start}\n${make()}\n\n${end}`)
  }
  writeFileSync(FILE, text)
}
