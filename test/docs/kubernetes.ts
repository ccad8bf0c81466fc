import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { helm } from '../charts/charts.ts'
import { commandsOf } from './helm-commands.ts'
import { blocksOf, readPage } from './page.ts'

export const BLOCKS = blocksOf(readPage('kubernetes.md'))
export const COMMANDS = commandsOf(BLOCKS)

/**
 * Writes the files of the page into a folder, where its commands find them.
 * @param chartOf where a chart of ours is, with its dependencies
 */
export async function layOut(folder: string, chartOf: (chart: string) => string): Promise<void> {
  for (const { file, language, text } of BLOCKS.filter((block) => block.file !== undefined)) {
    const path = join(folder, file!)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, language === 'diff' ? after(text) : text)
  }
  const chart = join(folder, 'orders/Chart.yaml')
  const registry = 'oci://registry.example.com/charts'
  const text = readFileSync(chart, 'utf8')
  if (!text.includes(registry)) throw new Error(`${chart} does not name ${registry}`)
  writeFileSync(chart, text.replace(registry, `file://${chartOf('sidecar')}`))
  await helm('helm3', ['dependency', 'build', join(folder, 'orders')])
}

/** What a block in the form of `diff` makes of the file. */
function after(text: string): string {
  const lines = text.split('\n').slice(1)
  return lines
    .filter((line) => /^[ +]/.test(line))
    .map((line) => `${line.slice(1)}\n`)
    .join('')
}
