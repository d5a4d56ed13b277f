import type { HeldNode } from './allocation.ts'
import type { EventDetail, JobEvent, StepDetail } from './events.ts'
import type { Suspension } from './suspension.ts'

/** One run of a job: from when it got its nodes until it gave them back. */
export interface Run {
  cluster: string
  job_id: number
  startedAt: Date
  /** Null while it runs. */
  endedAt: Date | null
  start: EventDetail
  end: EventDetail
  suspensions?: Suspension[]
}

/** Facts of a run that have other names, types or places in the tables. */
type Kept = 'user' | 'uid' | 'account' | 'partition' | 'ended_at' | 'steps' | 'accelerators'

/** A run as the tables keep it; what is absent or null is not known. */
export interface RunRow extends Omit<EventDetail, Kept> {
  cluster: string
  job_id: number
  started_at: Date
  ended_at: Date | null
  user_name?: string | null | undefined
  account?: string | null | undefined
  partition?: string | null | undefined
  user_id?: number | undefined
  nodelist: string
  source: string
  nodes: (HeldNode & {
    started_at: Date
    ended_at: Date | null
    busy_cores?: number | null
    accelerators?: number[]
  })[]
  /** Start of the first run of the same job; a number may be used again for another job. */
  first_started_at: Date | null
  steps: (Stretch | StepDetail)[]
  suspensions?: Suspension[] | undefined
}

interface Stretch {
  step: string
  started_at: Date
  ended_at: Date | null
}

/** Two starts of a job that are closer than this are one run, told by two sources. */
export const sameRunMs = 30_000

/**
 * The runs that follow from all starts and ends of one job, whatever their order. An end closes the
 * open run; a start closes it too, at its own time. An end without an open run was told twice, and
 * may say more, or its start has not arrived.
 *
 * Times are ordered by the whole second, which is all that Slurm's own have: within a second an
 * end belongs to the run that was open before, else to the one that starts.
 */
export function runsOfEdges(events: readonly JobEvent[]): Run[] {
  const runs: Run[] = []
  for (const second of bySecond(events)) {
    const starts = second.filter(({ type }) => type === 'start')
    const ends = second.filter(({ type }) => type === 'end')
    const wasOpen = runs.at(-1)?.endedAt === null
    const ordered = wasOpen ? [...ends, ...starts] : [...starts, ...ends]
    for (const event of ordered) apply(runs, event)
  }
  return runs
}

function bySecond(events: readonly JobEvent[]): JobEvent[][] {
  const seconds = new Map<number, JobEvent[]>()
  for (const event of events.toSorted((a, b) => a.time.getTime() - b.time.getTime())) {
    const second = Math.floor(event.time.getTime() / 1000)
    const same = seconds.get(second)
    if (same) same.push(event)
    else seconds.set(second, [event])
  }
  return [...seconds.values()]
}

function apply(runs: Run[], { type, cluster, job_id, time, detail }: JobEvent): void {
  const open = runs.at(-1)?.endedAt === null ? runs.at(-1) : undefined
  if (type === 'end') {
    if (open) close(open, time, detail)
    else addToEnd(runs.at(-1), time, detail)
  } else if (open && isSameRun(open, time, detail)) {
    open.start = { ...detail, ...open.start }
  } else {
    if (open) close(open, time, {})
    clip(runs.at(-1), time)
    runs.push({ cluster, job_id, startedAt: time, endedAt: null, start: detail, end: {} })
  }
}

/** Where one source tells fractions of a second and another does not, runs may not overlap. */
function clip(run: Run | undefined, nextStart: Date): void {
  if (run?.endedAt && run.endedAt > nextStart) run.endedAt = nextStart
}

/** Hooks see a job's end by their own clock, and not its state. */
function addToEnd(run: Run | undefined, time: Date, detail: EventDetail): void {
  if (run?.endedAt && time.getTime() - run.endedAt.getTime() < sameRunMs) {
    run.end = { ...detail, ...run.end }
  }
}

function close(run: Run, time: Date, detail: EventDetail): void {
  run.endedAt = time < run.startedAt ? run.startedAt : time
  run.end = detail
}

function isSameRun({ startedAt, start }: Run, time: Date, detail: EventDetail): boolean {
  const counts = [start.restart_count, detail.restart_count]
  const differ = !counts.includes(undefined) && counts[0] !== counts[1]
  return !differ && time.getTime() - startedAt.getTime() < sameRunMs
}
