import { heldNodes } from './allocation.ts'
import type { RunRow } from './run.ts'

/** A row of job_label, the names of steps and nodes empty where the series have none. */
export interface JobLabelRow {
  job_id: number
  cluster: string
  node: string
  step: string
  first_at: Date
  last_at: Date
  user_name: string | null
  account: string | null
  partition: string | null
  open: boolean
}

/** From when to when; null: not over. */
interface Stretch {
  started_at: Date
  ended_at: Date | null
}

/**
 * The runs of one job that follow from all of its rows. A longer silence of the whole job than
 * `silenceSeconds` parts two runs, as of a job that was requeued. A run lasts from the first sample
 * to the last. A node is the run's just as long, since its series are only scraped at other moments
 * than the rest; but for a node that came or went by more than a silence from the run's own edge.
 */
export function labelRuns(rows: readonly JobLabelRow[], silenceSeconds: number): RunRow[] {
  const silenceMs = silenceSeconds * 1000
  const parts = split(rows, silenceMs)
  return parts.map((part, i) => toRun(part, silenceMs, i === parts.length - 1))
}

function split(rows: readonly JobLabelRow[], silenceMs: number): JobLabelRow[][] {
  const runs: JobLabelRow[][] = []
  let lastMs = Number.NEGATIVE_INFINITY
  for (const row of rows.toSorted((a, b) => a.first_at.getTime() - b.first_at.getTime())) {
    if (row.first_at.getTime() - lastMs > silenceMs) runs.push([row])
    else runs.at(-1)?.push(row)
    lastMs = Math.max(lastMs, row.last_at.getTime())
  }
  return runs
}

function toRun(rows: readonly JobLabelRow[], silenceMs: number, latest: boolean): RunRow {
  const whole = stretchOf(rows)
  const run = latest ? whole : { ...whole, ended_at: lastOf(rows) }
  const nodes = nodesOf(rows, run, silenceMs)
  const [first] = rows
  return {
    cluster: first?.cluster ?? '',
    job_id: first?.job_id ?? 0,
    ...run,
    first_started_at: null,
    user_name: least(rows.map((row) => row.user_name)),
    account: least(rows.map((row) => row.account)),
    partition: least(rows.map((row) => row.partition)),
    nodelist: nodes.map(({ node }) => node).join(','),
    source: 'labels',
    nodes,
    steps: stepsOf(rows, run),
  }
}

function nodesOf(rows: readonly JobLabelRow[], run: Stretch, silenceMs: number) {
  const byNode = new Map<string, JobLabelRow[]>()
  const xnames = new Map<string, string | null>()
  for (const row of rows) {
    if (row.node === '') continue
    for (const { node, xname } of heldNodes(row.node)) {
      xnames.set(node, xname)
      add(byNode, node, row)
    }
  }
  return [...byNode.keys()].sort().map((node) => ({
    node,
    xname: xnames.get(node) ?? null,
    cores: null,
    ...snap(stretchOf(byNode.get(node) ?? []), run, silenceMs),
  }))
}

/** Moves the edges that are near the run's to the run's. */
function snap(held: Stretch, run: Stretch, silenceMs: number): Stretch {
  const late = held.started_at.getTime() - run.started_at.getTime()
  const started_at = late > silenceMs ? held.started_at : run.started_at
  if (held.ended_at === null || run.ended_at === null) {
    return { started_at, ended_at: run.ended_at ?? held.ended_at }
  }
  const early = run.ended_at.getTime() - held.ended_at.getTime()
  return { started_at, ended_at: early > silenceMs ? held.ended_at : run.ended_at }
}

function stepsOf(rows: readonly JobLabelRow[], run: Stretch) {
  const bySteps = new Map<string, JobLabelRow[]>()
  for (const row of rows) if (row.step !== '') add(bySteps, row.step, row)
  return [...bySteps.entries()].map(([step, own]) => {
    const { started_at, ended_at } = stretchOf(own)
    return { step, started_at, ended_at: ended_at ?? run.ended_at }
  })
}

function stretchOf(rows: readonly JobLabelRow[]): Stretch {
  const firsts = rows.map(({ first_at }) => first_at.getTime())
  const started_at = new Date(firsts.reduce((a, b) => Math.min(a, b)))
  return { started_at, ended_at: rows.some(({ open }) => open) ? null : lastOf(rows) }
}

function lastOf(rows: readonly JobLabelRow[]): Date {
  return new Date(rows.map(({ last_at }) => last_at.getTime()).reduce((a, b) => Math.max(a, b)))
}

function add(map: Map<string, JobLabelRow[]>, key: string, row: JobLabelRow): void {
  const rows = map.get(key)
  if (rows) rows.push(row)
  else map.set(key, [row])
}

function least(values: readonly (string | null)[]): string | null {
  return values.filter((value) => value !== null).sort()[0] ?? null
}
