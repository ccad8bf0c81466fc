import type { Block } from './page.ts'

/** A command of a page, in words as a shell makes them. */
export interface Command {
  words: string[]
  line: number
}

/** The commands of all shell blocks, those over several lines as one. */
export function commandsOf(blocks: readonly Block[]): Command[] {
  return blocks
    .filter(({ language }) => language === 'sh')
    .flatMap(({ text, line }) =>
      text
        .replace(/\\\n\s*/g, ' ')
        .split('\n')
        .filter(Boolean)
        .map((command) => ({ words: wordsOf(command), line })),
    )
}

/** Without what a shell would put in for variables and other commands. */
function wordsOf(command: string): string[] {
  return [...command.matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g)].map(([word]) =>
    word.replace(/'([^']*)'|"([^"]*)"/g, '$1$2'),
  )
}

/** What a command of Helm that installs or upgrades says. */
export interface Release {
  name: string
  chart: string
  namespace: string
  /** The options that values come by. */
  values: string[]
}

/** Options that are of no concern to what is rendered. */
const IGNORED = new Set(['--wait', '--create-namespace'])

/** Throws an error for an option that it does not know. */
export function releaseOf({ words }: Command): Release | undefined {
  const release: Release = { name: '', chart: '', namespace: '', values: [] }
  const plain: string[] = []
  const [program, ...rest] = words
  if (program !== 'helm' || !rest.some((word) => word === 'install' || word === 'upgrade')) return undefined
  for (let i = 0; i < rest.length; i++) {
    const word = rest[i]!
    if (IGNORED.has(word)) continue
    if (word === '-n') release.namespace = rest[++i]!
    else if (word === '-f' || word === '--set') release.values.push(word, rest[++i]!)
    else if (word.startsWith('-')) throw new Error(`${words.join(' ')}: ${word} is not known here`)
    else plain.push(word)
  }
  return { ...release, name: plain[1]!, chart: plain[2]! }
}
