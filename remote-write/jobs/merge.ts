import type { EventDetail, JobEvent } from './events.ts'
import { expandNodelist } from './nodelist.ts'
import { type Run, runsOfEdges, sameRunMs } from './run.ts'
import { suspensionsOf } from './suspension.ts'

/**
 * The runs that follow from all events of one job, whatever their order. What accounting says of a
 * whole run is the truth; starts and ends of the same run, told by hooks as they happened, fill in
 * what it lacks. A run that only hooks tell of stays as long as accounting knows nothing of its
 * time.
 */
export function runsOf(events: readonly JobEvent[]): Run[] {
  const edges = runsOfEdges(events.filter(({ type }) => type === 'start' || type === 'end'))
  const reports = latestReports(events.filter(({ type }) => type === 'run')).map(toRun)
  const partners = pair(reports, edges)
  const merged = reports.map((report) => amended(report, partners.get(report)))
  const paired = new Set(partners.values())
  const alone = edges.filter(
    (edge) => !paired.has(edge) && !merged.some((run) => covers(run, edge.startedAt)),
  )
  return resized(apart([...merged, ...alone])).map((run) => {
    return { ...run, suspensions: suspensionsOf(run, events) }
  })
}

/** No hook tells of a run that goes on with fewer nodes: it keeps the accelerators of those. */
function resized(runs: readonly Run[]): Run[] {
  const told: Run[] = []
  for (const run of runs) {
    const before = told.at(-1)
    const kept = before?.end.state === 'RESIZING' ? before.start.accelerators : undefined
    const start = kept === undefined ? run.start : { accelerators: kept, ...run.start }
    told.push({ ...run, start })
  }
  return told
}

/**
 * Of several reports of one row of accounting, whose start was corrected, the latest counts. Who
 * does not know the row, as jobcomp, tells of one that starts then. In order: of two runs of one
 * second the row with the lower number was the first.
 */
function latestReports(events: readonly JobEvent[]): JobEvent[] {
  const byRow = new Map<string, JobEvent>()
  const rowStarts = new Set(
    events.flatMap(({ time, detail }) => (detail.db_index === undefined ? [] : [time.getTime()])),
  )
  for (const event of events) {
    if (event.detail.db_index === undefined && rowStarts.has(event.time.getTime())) continue
    const { db_index } = event.detail
    const row = db_index === undefined ? `at ${event.time.getTime()}` : `row ${db_index}`
    const other = byRow.get(row)
    if (other === undefined || rank(event) > rank(other)) byRow.set(row, event)
  }
  return [...byRow.values()].sort(
    (a, b) =>
      a.time.getTime() - b.time.getTime() || (a.detail.db_index ?? 0) - (b.detail.db_index ?? 0),
  )
}

/** Ended beats open, later beats earlier; equal ranks only for equal times. */
function rank({ time, detail: { ended_at, told_at } }: JobEvent): string {
  return `${ended_at === undefined ? 0 : 1} ${told_at} ${time.toISOString()}`
}

function toRun({ cluster, job_id, time, detail }: JobEvent): Run {
  const { ended_at, state, exit_code, ...start } = detail
  const endedAt = ended_at === undefined ? null : new Date(ended_at)
  return {
    cluster,
    job_id,
    startedAt: time,
    endedAt: endedAt !== null && endedAt < time ? time : endedAt,
    start,
    // Until the end is known the state may be the one before the start, or of no run at all.
    end: endedAt === null ? {} : { ...(state && { state }), ...(exit_code && { exit_code }) },
  }
}

/** Which run of hooks is which of accounting: the nearest starts first, then what lies within. */
function pair(reports: readonly Run[], edges: readonly Run[]): Map<Run, Run> {
  const partners = new Map<Run, Run>()
  const taken = new Set<Run>()
  const near = reports
    .flatMap((report) => edges.map((edge) => ({ report, edge, ms: distance(report, edge) })))
    .filter(({ ms }) => ms < sameRunMs)
    .sort((a, b) => a.ms - b.ms)
  for (const { report, edge } of near) {
    if (partners.has(report) || taken.has(edge)) continue
    partners.set(report, edge)
    taken.add(edge)
  }
  // A busy slurmctld starts its hooks late.
  for (const report of reports.filter((each) => !partners.has(each))) {
    const late = edges.find((edge) => !taken.has(edge) && covers(report, edge.startedAt, true))
    if (late === undefined) continue
    partners.set(report, late)
    taken.add(late)
  }
  return partners
}

function distance(a: Run, b: Run): number {
  return Math.abs(a.startedAt.getTime() - b.startedAt.getTime())
}

function covers({ startedAt, endedAt }: Run, time: Date, open = false): boolean {
  return startedAt <= time && (endedAt === null ? open : time < endedAt)
}

/** The report, with what only the hooks know: an end not yet accounted, cores of each node. */
function amended(report: Run, edge: Run | undefined): Run {
  if (edge === undefined) return report
  const { nodelist, cpus_per_node, ...facts } = edge.start
  const known = sameNodes(nodelist, report.start.nodelist) ? { cpus_per_node } : {}
  const start: EventDetail = { ...known, ...facts, ...report.start }
  if (report.endedAt !== null) return { ...report, start, end: { ...edge.end, ...report.end } }
  const endedAt = edge.endedAt === null || edge.endedAt >= report.startedAt
  return { ...report, start, endedAt: endedAt ? edge.endedAt : report.startedAt, end: edge.end }
}

function sameNodes(a = '', b = ''): boolean {
  return a === b || expandNodelist(a).join() === expandNodelist(b).join()
}

/**
 * In order, none longer than until the next one starts. Accounting knows whole seconds: of two runs
 * that start in the same one, the second is a millisecond later.
 */
function apart(told: Run[]): Run[] {
  told.sort((a, b) => a.startedAt.getTime() - b.startedAt.getTime())
  let last = Number.NEGATIVE_INFINITY
  const runs = told.map((run) => {
    last = Math.max(run.startedAt.getTime(), last + 1)
    const startedAt = new Date(last)
    const endedAt = run.endedAt !== null && run.endedAt < startedAt ? startedAt : run.endedAt
    return { ...run, startedAt, endedAt }
  })
  return runs.map((run, i) => {
    const next = runs[i + 1]?.startedAt
    if (next === undefined || (run.endedAt !== null && run.endedAt <= next)) return run
    return { ...run, endedAt: next, end: run.endedAt === null ? {} : run.end }
  })
}

/** So long after its end a job may still be requeued under its number. */
const requeuedMs = 60 * 60 * 1000

/**
 * For each of a number's runs, in order, when the first run of the same job started. Slurm counts
 * jobs anew after a clean start or 67 million of them; a run of the same job is submitted anew in
 * the moment of its requeue or resize.
 */
export function firstStarts(runs: readonly Run[]): Date[] {
  let first = new Date(0)
  return runs.map((run, i) => {
    const before = runs[i - 1]
    if (before === undefined || !continues(before, run)) first = run.startedAt
    return first
  })
}

function continues(before: Run, { start }: Run): boolean {
  const { restart_count, submitted_at } = start
  if (restart_count !== undefined && before.start.restart_count !== undefined) {
    return restart_count > 0
  }
  if (submitted_at === undefined || before.endedAt === null) return true
  return new Date(submitted_at).getTime() <= before.endedAt.getTime() + requeuedMs
}
