import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'

/** What a process has used so far and holds now. */
export interface Cost {
  /** User and system time of all its threads: seconds, to 10 ms. */
  cpuS: number
  residentBytes: number
  /** What of it is this process's alone: not the program file and libraries, which processes share. Linux only. */
  privateBytes: number | undefined
}

/** The unit of /proc/PID/stat, the same on every Linux (USER_HZ). */
const TICKS_PER_SECOND = 100

/** @throws Error when there is no such process */
export function costOf(pid: number): Cost {
  return existsSync('/proc/self/stat') ? fromProc(pid) : fromPs(pid)
}

function fromProc(pid: number): Cost {
  // The second field, the program's name in parentheses, may hold anything.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const bytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024
  return {
    cpuS: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
    residentBytes: bytes('VmRSS'),
    privateBytes: bytes('RssAnon'),
  }
}

function fromPs(pid: number): Cost {
  const [kilobytes, time = ''] = execFileSync('ps', ['-o', 'rss=,time=', '-p', String(pid)], { encoding: 'utf8' })
    .trim()
    .split(/\s+/)
  const cpuS = time.split(':').reduce((seconds, part) => seconds * 60 + Number(part), 0)
  return { cpuS, residentBytes: Number(kilobytes) * 1024, privateBytes: undefined }
}
