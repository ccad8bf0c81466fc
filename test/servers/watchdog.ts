import { type ChildProcess, spawn } from 'node:child_process'

// However this process ends, SIGKILL included, its end of the pipe closes: the shell then reads end-of-file and ends by
// id whatever was named in the last line it got. It runs in a process group of its own, out of Ctrl-C's reach.
const script = `
set -f
while IFS='|' read -r p f c; do pids=$p; folders=$f; containers=$c; done
[ -n "$pids" ] && kill -9 $pids
[ -n "$containers" ] && docker rm -f $containers
[ -n "$folders" ] && sleep 0.3 && IFS=: && rm -rf $folders
`

const pids = new Set<number>()
const folders = new Set<string>()
const containers = new Set<string>()
let shell: ChildProcess | undefined

function tell(): void {
  if (shell === undefined) {
    shell = spawn('sh', ['-c', script], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] })
    shell.on('error', () => {})
    shell.stdin?.on('error', () => {})
    shell.unref()
    ;(shell.stdin as unknown as { unref(): void }).unref()
  }
  shell.stdin?.write(`${[...pids].join(' ')}|${[...folders].join(':')}|${[...containers].join(' ')}\n`)
}

function guard<T>(set: Set<T>, item: T): () => void {
  set.add(item)
  tell()
  return () => {
    if (set.delete(item)) tell()
  }
}

/** Has the process (or, by a negative number, its whole group) killed when this process ends; the function returned takes that back (call it once it has ended). */
export const guardPid = (pid: number): (() => void) => guard(pids, pid)

/** Has the folder deleted when this process ends; the function returned takes that back. */
export const guardFolder = (folder: string): (() => void) => guard(folders, folder)

/** Has the Docker container removed when this process ends; the function returned takes that back. */
export const guardContainer = (name: string): (() => void) => guard(containers, name)
