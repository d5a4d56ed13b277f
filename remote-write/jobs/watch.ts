import { setTimeout as sleep } from 'node:timers/promises'
import fetch from 'node-fetch'
import { z } from 'zod'
import { formatJoules } from '../energy/print.ts'

const joules = z.number().nullable()
const listedJob = z.object({
  job_id: z.number(),
  user: z.string().nullish(),
  name: z.string().nullish(),
  state: z.string().nullish(),
  started_at: z.coerce.date(),
  ended_at: z.coerce.date(),
  nodes: z.number(),
  energy: z.object({ joules, joules_low: joules, joules_high: joules }),
})
export type ListedJob = z.output<typeof listedJob>

/** How long after its end a job may wait for the samples that bound its last edge. */
const settleSeconds = 60

/**
 * Yields each job of remote-write at `url` once, when it has ended and its energy is bounded, or a
 * minute later; first the latest `recent` ones that already are. Ends with the signal.
 */
export async function* endedJobs(
  url: string,
  { recent, signal }: { recent: number; signal: AbortSignal },
): AsyncGenerator<ListedJob> {
  const seen = new Set<string>()
  for (let first = true; !signal.aborted; first = false) {
    const settled = (await latestEnded(url, signal)).filter(isSettled)
    const fresh = settled.filter((job) => !seen.has(key(job)))
    for (const job of fresh) seen.add(key(job))
    yield* first ? fresh.slice(-recent) : fresh
    await sleep(2000, undefined, { signal }).catch(() => {})
  }
}

/** Oldest first. */
async function latestEnded(url: string, signal: AbortSignal): Promise<ListedJob[]> {
  const where = `${url}/api/v1/jobs?state=ended&limit=50`
  const answer = await fetch(where, { signal }).catch(() => undefined)
  if (!answer?.ok) return []
  const { jobs } = z.object({ jobs: z.array(listedJob) }).parse(await answer.json())
  return jobs.sort((a, b) => a.ended_at.getTime() - b.ended_at.getTime())
}

function isSettled({ energy, ended_at }: ListedJob): boolean {
  return energy.joules_high !== null || Date.now() - ended_at.getTime() > settleSeconds * 1000
}

function key({ job_id, started_at }: ListedJob): string {
  return `${job_id} ${started_at.getTime()}`
}

/** A line for people: `13:20:15  job 1042  alice  relax  2 nodes  1:30  312.4 kJ (..)`. */
export function describeJob(job: ListedJob): string {
  const { energy, ended_at, started_at } = job
  const seconds = Math.round((ended_at.getTime() - started_at.getTime()) / 1000)
  const range = `${formatJoules(energy.joules_low)} to ${formatJoules(energy.joules_high)}`
  return [
    ended_at.toISOString().slice(11, 19),
    `job ${String(job.job_id).padEnd(6)}`,
    (job.user ?? '').padEnd(8),
    (job.name ?? '').slice(0, 14).padEnd(14),
    `${String(job.nodes).padStart(2)} ${job.nodes === 1 ? 'node ' : 'nodes'}`,
    clock(seconds).padStart(7),
    formatJoules(energy.joules).padStart(9),
    `(${range})`.padEnd(24),
    job.state ?? '',
  ].join('  ')
}

function clock(seconds: number): string {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  const shown = parts[0] === 0 ? parts.slice(1) : parts
  return shown.map((part, i) => String(part).padStart(i === 0 ? 1 : 2, '0')).join(':')
}
