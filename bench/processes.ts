import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type NodeProcess, type ProcessOptions, startNode } from '../test/helpers/process.ts'
import { guardFolder } from '../test/servers/watchdog.ts'

const ROOT = new URL('..', import.meta.url)

/** A running program with an address. */
export interface Party {
  process: NodeProcess
  pid: number
  url: string
  /** Where its health and metrics are. */
  adminUrl: string
}

/** What a benchmark starts, and ends again. */
export interface Bench {
  /** A new folder, deleted at the end. */
  folder(): string
  /** Starts a program of bench/programs that prints `listening on URL`. */
  program(name: string, env?: Record<string, string>): Promise<Party>
  /** Starts a role of the command line; it listens, but may not be ready. */
  role(role: 'issuer' | 'sidecar', env: Record<string, string>, nodeArgs?: string[]): Promise<Party>
  /** Runs a program of bench/programs to its end, within 60 s unless told otherwise (ms). @returns what it printed */
  run(name: string, args: string[], started?: (pid: number) => void, within?: number): Promise<string>
  /** Starts a program of bench/programs that is told what to do in JSON. */
  start(name: string, told: object): NodeProcess
  /** Has something of its own ended when the benchmark ends, however that is. */
  onEnd(end: () => Promise<void>): void
}

/**
 * Runs a benchmark; whatever it started has ended when this resolves or throws, and also when this process is killed.
 * @throws what `body` throws
 */
export async function withBench(body: (bench: Bench) => Promise<void>): Promise<void> {
  const endings: (() => Promise<void> | void)[] = []
  const teardown = (fn: () => Promise<void> | void) => void endings.push(fn)
  const start = (file: string, options?: ProcessOptions) =>
    startNode({ teardown }, fileURLToPath(new URL(file, ROOT)), options)
  try {
    await body({
      folder() {
        const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'))
        const unguard = guardFolder(folder)
        teardown(() => {
          rmSync(folder, { recursive: true, force: true })
          unguard()
        })
        return folder
      },
      async program(name, env) {
        const process = start(`bench/programs/${name}.ts`, { env })
        const [, url = ''] = await process.waitForLine(/^listening on (\S+)/)
        return { process, pid: process.pid, url, adminUrl: url }
      },
      async role(role, env, nodeArgs) {
        const process = start('bin/sallyport.ts', { args: [role], env, nodeArgs })
        // In good order: a profile is written then.
        teardown(() => process.kill('SIGTERM'))
        const [line] = await process.waitForLine(/^\{.*"msg":"listening".*/, 30_000)
        const { url, adminUrl = url } = JSON.parse(line) as { url: string; adminUrl?: string }
        return { process, pid: process.pid, url, adminUrl }
      },
      start: (name, told) => start(`bench/programs/${name}.ts`, { args: [JSON.stringify(told)] }),
      onEnd: teardown,
      async run(name, args, started, within = 60_000) {
        const process = start(`bench/programs/${name}.ts`, { args })
        started?.(process.pid)
        const { code } = await process.waitForExit(within)
        if (code !== 0) throw new Error(`${name} ended with ${code}: ${process.stderr()}`)
        return process.stdout()
      },
    })
  } finally {
    for (const end of endings.reverse()) await end()
  }
}

/** Waits until `/readyz` says so. @throws Error when that takes longer than 30 s */
export function untilReady(party: Pick<Party, 'adminUrl'>): Promise<void> {
  return readyWithin(party, 30_000)
}

/** @param within milliseconds. @throws Error when it takes longer until `/readyz` says so */
export async function readyWithin({ adminUrl }: Pick<Party, 'adminUrl'>, within: number): Promise<void> {
  const deadline = performance.now() + within
  while (performance.now() < deadline) {
    const response = await fetch(`${adminUrl}/readyz`).catch(() => undefined)
    await response?.arrayBuffer()
    if (response?.ok) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error(`${adminUrl} was not ready within ${within / 1000} s`)
}

/**
 * One value of a process's `/metrics`.
 * @param sample its name with its labels, as it is written there
 * @throws Error when there is none
 */
export async function metricOf({ adminUrl }: Pick<Party, 'adminUrl'>, sample: string): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text()
  const line = text.split('\n').find((line) => line.startsWith(`${sample} `))
  if (line === undefined) throw new Error(`${adminUrl}/metrics has no ${sample}`)
  return Number(line.slice(sample.length + 1))
}
