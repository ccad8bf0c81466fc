import { readFile } from 'node:fs/promises'
import { type Document, isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'
import type { Route } from '../domain/route.ts'
import { parseRoutes, placeText, type RouteProblem } from '../domain/route-document.ts'

/** What the routes file holds, or why it can't be read. */
export type RoutesContent = { text: string } | { error: string }

/** A problem and where it is in the file; lines and columns count from 1. */
export interface LocatedProblem {
  line: number
  column: number
  /** The field, such as `routes[2].path`; empty where the file as a whole is meant. */
  place: string
  message: string
}

export type ReadRoutes =
  | { ok: true; routes: Route[]; locate(problem: RouteProblem): LocatedProblem }
  /** Everything that is wrong, in the order of the file. */
  | { ok: false; problems: LocatedProblem[] }

const MAX_BYTES = 1024 * 1024

export async function readRoutesContent(path: string): Promise<RoutesContent> {
  try {
    const bytes = await readFile(path)
    return bytes.length > MAX_BYTES
      ? { error: `the file has more than ${MAX_BYTES} bytes` }
      : { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
  } catch (error) {
    return { error: `the file cannot be read (${(error as NodeJS.ErrnoException).code})` }
  }
}

/** Reads the rules out of YAML, or JSON, which is YAML too. */
export function parseRoutesContent(content: RoutesContent): ReadRoutes {
  if ('error' in content) return { ok: false, problems: [atStart(content.error)] }
  const lineCounter = new LineCounter()
  const document = parseDocument(content.text, { lineCounter, prettyErrors: false })
  const at = (offset: number) => {
    const { line, col } = lineCounter.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }
  const mistakes = [...document.errors, ...document.warnings]
  if (mistakes.length > 0) {
    return { ok: false, problems: mistakes.map(({ pos, message }) => ({ ...at(pos[0]), place: '', message })) }
  }
  const locate = ({ place, message }: RouteProblem): LocatedProblem => ({
    ...at(offsetOf(document, place)),
    place: placeText(place),
    message,
  })
  try {
    const parsed = parseRoutes(document.toJS())
    if (parsed.ok) return { ok: true, routes: parsed.routes, locate }
    return { ok: false, problems: parsed.problems.map(locate).sort((a, b) => a.line - b.line || a.column - b.column) }
  } catch (error) {
    // An alias without its anchor, or so many that they would fill the memory.
    return { ok: false, problems: [atStart((error as Error).message)] }
  }
}

/** The problem in a line: `12:5: routes[1].path: …`. */
export function locatedText({ line, column, place, message }: LocatedProblem): string {
  return `${line}:${column}: ${place === '' ? '' : `${place}: `}${message}`
}

function atStart(message: string): LocatedProblem {
  return { line: 1, column: 1, place: '', message }
}

/** Where a field's name, or an item of a list, begins; for one that is not there, what it is missing from. */
function offsetOf(document: Document.Parsed, place: RouteProblem['place']): number {
  let node: unknown = document.contents
  let offset = startOf(node) ?? 0
  for (const step of place) {
    if (isAlias(node)) node = node.resolve(document)
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => String(isScalar(key) ? key.value : key) === String(step))
      if (!pair) break
      offset = startOf(pair.key) ?? offset
      node = pair.value
    } else if (isSeq(node) && typeof step === 'number') {
      node = node.items[step]
      offset = startOf(node) ?? offset
    } else break
  }
  return offset
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined
}
