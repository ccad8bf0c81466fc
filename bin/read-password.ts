import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'

/** Far more than any password: a wrong file is noticed before it is read into memory as one. */
const MAX_BYTES = 4096

/**
 * Reads a new password: from a file, from standard input when that is no terminal, else twice from the keyboard without
 * showing it. A final newline is not part of it.
 * @param file its path; `undefined` for none
 * @throws Error when it can't be read, is too long, or the two differ
 */
export async function readPassword(file: string | undefined): Promise<string> {
  if (file !== undefined) return withoutNewline(readFileSync(file))
  if (!process.stdin.isTTY) return withoutNewline(await readAll(process.stdin))
  const password = await ask('Password: ')
  if ((await ask('The same again: ')) !== password) throw new Error('the two passwords differ')
  return password
}

async function readAll(input: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of input) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > MAX_BYTES) break
  }
  return Buffer.concat(chunks)
}

function withoutNewline(bytes: Buffer): string {
  if (bytes.length > MAX_BYTES) throw new Error('this is too long for a password')
  return bytes.toString('utf8').replace(/\r?\n$/, '')
}

async function ask(question: string): Promise<string> {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  // With `terminal`, readline switches off the terminal's own echo; its output goes nowhere.
  const line = createInterface({ input: process.stdin, output: silent, terminal: true })
  line.once('SIGINT', () => process.exit(130))
  process.stderr.write(question)
  try {
    return await line.question('')
  } finally {
    line.close()
    process.stderr.write('\n')
  }
}
