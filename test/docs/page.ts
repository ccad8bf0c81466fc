import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** A fenced block of a page. */
export interface Block {
  /** `sh`, `yaml`, `json` … */
  language: string
  /** What stands after the language: GitHub does not show it. */
  info: string
  text: string
  /** The file's name where the first line is a comment with nothing else in it. */
  file: string | undefined
  line: number
}

/** A page of docs/. */
export function readPage(name: string): string {
  return readFileSync(fileURLToPath(new URL(`../../docs/${name}`, import.meta.url)), 'utf8')
}

/** Its blocks, from the first to the last. */
export function blocksOf(text: string): Block[] {
  return [...text.matchAll(/^```(\w+)(?: (.*))?\n([\s\S]*?)^```$/gm)].map(
    ({ 1: language = '', 2: info = '', 3: text_ = '', index }) => ({
      language,
      info,
      text: text_,
      file: /^(?:#|\/\/) ([\w./-]+\.\w+)\n/.exec(text_)?.[1],
      line: text.slice(0, index).split('\n').length,
    }),
  )
}

/** What a block that shows an output says: `…` stands for anything. */
export function expectedOutput(text: string): RegExp {
  const parts = text.trim().split('…')
  return new RegExp(`^${parts.map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('[\\s\\S]*?')}$`)
}
