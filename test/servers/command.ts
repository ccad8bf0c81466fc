import { spawn } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** The full path of a program on the PATH, or undefined. */
export function onPath(name: string): string | undefined {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const file = join(folder, name)
    try {
      accessSync(file, constants.X_OK)
      if (statSync(file).isFile()) return file
    } catch {
      // Not in this folder.
    }
  }
  return undefined
}

export interface RunOptions {
  cwd?: string
  env?: Record<string, string>
  /** In ms; default 10 minutes, for downloads on a slow line. */
  timeout?: number
}

const PAUSES_MS = [2000, 15_000]

/** The same for what fetches something: it is tried three times, for a registry may be out of sorts for a moment. */
export async function runFetching(file: string, args: string[], options: RunOptions = {}): Promise<string> {
  for (const pauseMs of PAUSES_MS) {
    try {
      return await run(file, args, options)
    } catch (error) {
      // There is no such program.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw error
      process.stderr.write(`${(error as Error).message}\nIt is tried again.\n`)
      await sleep(pauseMs)
    }
  }
  return run(file, args, options)
}

/** Runs a program to its end and returns what it printed. Throws an error with its last lines if it fails. */
export function run(file: string, args: string[], options: RunOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: options.timeout ?? 600_000,
    })
    let output = ''
    const collect = (chunk: string): void => {
      output = (output + chunk).slice(-200_000)
    }
    child.stdout.setEncoding('utf8').on('data', collect)
    child.stderr.setEncoding('utf8').on('data', collect)
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (code === 0) resolve(output)
      else {
        const tail = output.trimEnd().split('\n').slice(-12).join('\n')
        reject(new Error(`${file} ${args.join(' ')} ended with ${signal ?? `exit code ${code}`}:\n${tail}`))
      }
    })
  })
}
