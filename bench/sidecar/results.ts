import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { drawBars } from './chart.ts'
import type { Summary } from './measure.ts'
import type { Target } from './parties.ts'

const fileOf = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const FIGURES = fileOf('../results/sidecar.json')
const CHART = fileOf('../../docs/bench-sidecar.svg')

export type Result = Pick<Target, 'name' | 'group'> & Summary

/** What one run measured, and where. */
export interface Results {
  machine: string
  load: string
  pinned: string
  results: Result[]
}

/** Keeps the figures, and draws them for the README. @returns where */
export function keepResults(results: Results): string {
  mkdirSync(dirname(FIGURES), { recursive: true })
  writeFileSync(FIGURES, `${JSON.stringify(results, rounded, 2)}\n`)
  return drawResults()
}

/** Draws the figures of the last run that was kept. @returns where */
export function drawResults(): string {
  const { machine, load, results } = JSON.parse(readFileSync(FIGURES, 'utf8')) as Results
  const bars = results
    .filter(({ group }) => group !== 'none')
    .map(({ name, group, cpuUs }) => ({ name, kind: group, value: cpuUs }))
  const title = 'CPU of the proxy for one request, µs (less is better)'
  writeFileSync(CHART, drawBars({ title, notes: [load, machine], bars }))
  return CHART
}

function rounded(_name: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toPrecision(4)) : value
}
