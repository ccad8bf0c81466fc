import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { makeFolder } from '../../shared/make-folder.ts'

const KEY = /^[A-Za-z0-9_-]{43,}$/

/**
 * The master key of an embedded issuer, made at the first start: `master.key` in the data folder, readable by its owner
 * alone. It appears whole or not at all, and of several processes one makes it.
 * @throws the file system's error, with `code` and `path`, or an Error when the file holds no key
 */
export function readOrCreateMasterKey(folder: string): string {
  const file = join(folder, 'master.key')
  const found = read(file)
  if (found !== undefined) return found
  makeFolder(folder)
  const draft = `${file}.${randomBytes(8).toString('hex')}`
  try {
    const handle = openSync(draft, 'wx', 0o600)
    writeSync(handle, `${randomBytes(32).toString('base64url')}\n`)
    fsyncSync(handle)
    closeSync(handle)
    linkSync(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(draft, { force: true })
  }
  return read(file)!
}

function read(file: string): string | undefined {
  let text: string
  try {
    text = readFileSync(file, 'utf8').trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  // Going on with another key would make every stored key and every session unreadable.
  if (!KEY.test(text)) throw new Error(`${file} holds no master key; put back the one that was there`)
  return text
}
