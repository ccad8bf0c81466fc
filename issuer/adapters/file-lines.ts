import { createReadStream } from 'node:fs'

/** One line of a file, or what stands for one. */
export interface Line {
  /** The first is 1. */
  number: number
  /** Without its end; `undefined` when it is too long or not UTF-8. */
  text: string | undefined
  /** Where the next one begins, as `LinePlace.offset` counts. */
  end: number
  /** Why it can't be used, where that is known already. */
  refused?: string
  /** Names of what is left out of it. */
  leftOut?: readonly string[]
}

/** A place between two lines. */
export interface LinePlace {
  /** From the beginning: bytes of a file of lines, elements of a list. */
  offset: number
  /** How many lines are before it. */
  lines: number
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const NEWLINE = 10
const CARRIAGE_RETURN = 13
const BYTE_ORDER_MARK = '\ufeff'

/**
 * Reads a file line by line, however large it is: no more than one line and one block of it are in memory.
 * @param maxBytes a longer line is passed over, not kept
 * @throws the file system's error
 */
export async function* fileLines(file: string, from: LinePlace, maxBytes: number): AsyncGenerator<Line> {
  let { offset, lines } = from
  let parts: Buffer[] = []
  let bytes = 0
  const take = (part: Buffer) => {
    bytes += part.length
    if (bytes <= maxBytes) parts.push(part)
    else parts = []
  }
  const finish = (newline: number): Line => {
    offset += bytes + newline
    const text = bytes <= maxBytes ? decode(Buffer.concat(parts), lines === 0) : undefined
    parts = []
    bytes = 0
    return { number: ++lines, text, end: offset }
  }
  for await (const block of createReadStream(file, { start: from.offset }) as AsyncIterable<Buffer>) {
    let start = 0
    for (let end = block.indexOf(NEWLINE); end !== -1; end = block.indexOf(NEWLINE, start)) {
      take(block.subarray(start, end))
      yield finish(1)
      start = end + 1
    }
    take(block.subarray(start))
  }
  if (bytes > 0) yield finish(0)
}

function decode(bytes: Buffer, isFirst: boolean): string | undefined {
  try {
    const line = bytes.at(-1) === CARRIAGE_RETURN ? bytes.subarray(0, -1) : bytes
    const text = utf8.decode(line)
    return isFirst && text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text
  } catch {
    return undefined
  }
}
