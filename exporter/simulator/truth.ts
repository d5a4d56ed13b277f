import type { Seconds } from './load.ts'
import type { Job, Timeline } from './timeline.ts'
import type { PlacedLoad } from './track.ts'

export interface JobTruth {
  job_id: number
  joules: number
  started_at: string
  /** Null while the job runs; its joules are then those until now. */
  ended_at: string | null
  nodes: { xname: string; joules: number }[]
}

/**
 * The energy of a job by the policy of the energy function: of each node's idle floor the part
 * that the job's cores are of the node's, and of what the node drew above it the part that they are
 * of the cores of all jobs on it at the time. So an exclusive job has all of its nodes' energy.
 */
export function jobTruth(timeline: Timeline, job: Job, now: Seconds): JobTruth {
  const end = job.endedAt ?? now
  const nodes = job.machines.map(({ xname }) => ({
    xname,
    joules: shareOfNode(timeline, xname, job, end),
  }))
  return {
    job_id: job.id,
    joules: nodes.reduce((sum, { joules }) => sum + joules, 0),
    started_at: isoTime(job.startedAt),
    ended_at: job.endedAt === undefined ? null : isoTime(job.endedAt),
    nodes,
  }
}

/** RFC 3339, whole seconds. */
export function isoTime(at: Seconds): string {
  return `${new Date(at * 1000).toISOString().slice(0, 19)}Z`
}

function shareOfNode(timeline: Timeline, xname: string, job: Job, end: Seconds): number {
  const track = timeline.track(xname)
  const { idleWatts, model } = track.machine
  const { cores } = job.request
  let joules = 0
  for (const piece of track.between(job.startedAt, end)) {
    const floor = idleWatts * piece.seconds
    const above = piece.joules - floor
    joules += (floor * cores) / model.cores + (above * cores) / coresOf(piece.loads)
  }
  return joules
}

function coresOf(loads: readonly PlacedLoad[]): number {
  return loads.reduce((sum, { cores }) => sum + cores, 0)
}
