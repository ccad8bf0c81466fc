import { spawnSync } from 'node:child_process'
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'

/** Node, processor, memory and load of this machine, in a line. */
export function describeMachine(): string {
  const load = loadavg()[0]!.toFixed(2)
  const memory = (totalmem() / 2 ** 30).toFixed(1)
  return `Node ${process.version}, ${cpus()[0]?.model ?? 'unknown CPU'}, ${availableParallelism()} cores, ${memory} GiB, load ${load}`
}

/**
 * Keeps a process, with all its threads and those it will start, on one core (`taskset`).
 * @returns whether that worked
 */
export function pin(pid: number, core: number): boolean {
  return spawnSync('taskset', ['-a', '-c', '-p', String(core), String(pid)], { stdio: 'ignore' }).status === 0
}

/** CPU time that this machine has used, of all processes, since it was started: seconds. */
export function busyS(): number {
  return cpus().reduce((sum, { times: { user, nice, sys, irq } }) => sum + user + nice + sys + irq, 0) / 1000
}
