import { spawn } from 'node:child_process'

export interface Answer {
  code: number
  stdout: string
  stderr: string
}

/** Runs kubectl to its end, whatever that is. @param input what it reads at `-f -`: one object, or several as a List */
export type Kubectl = (args: readonly string[], input?: readonly object[]) => Promise<Answer>

/** No call of a test may hang; what waits says itself for how long: ms. */
const TIMEOUT_MS = 180_000

/** @param cache a folder: an API server on the same port an hour ago had other kinds */
export function createKubectl(file: string, kubeconfig: string, cache: string): Kubectl {
  return (args, input) =>
    new Promise((resolve, reject) => {
      const child = spawn(file, [`--kubeconfig=${kubeconfig}`, `--cache-dir=${cache}`, ...args], {
        timeout: TIMEOUT_MS,
      })
      const output = { stdout: '', stderr: '' }
      for (const name of ['stdout', 'stderr'] as const) {
        child[name].setEncoding('utf8').on('data', (chunk: string) => {
          output[name] += chunk
        })
      }
      child.once('error', reject)
      child.once('close', (code) => resolve({ code: code ?? -1, ...output }))
      child.stdin.on('error', () => {})
      child.stdin.end(
        input && JSON.stringify(input.length === 1 ? input[0] : { apiVersion: 'v1', kind: 'List', items: input }),
      )
    })
}
