import { type JobAnswer, startChain } from '../support/chain.ts'
import { startServer } from '../support/server.ts'

export const name = 'chain'
export const title =
  'energy of all jobs of a simulated half day, counters every 10 s, against the truth'

/** Relative errors of jobs of ten minutes and more, and of all; how often the bounds hold. */
export async function run(): Promise<Record<string, number>> {
  const server = await startServer()
  try {
    const chain = await startChain({ databaseUrl: server.url, historyHours: 12, fastSeconds: 10 })
    try {
      const began = Date.now()
      const jobs = (await chain.endedJobs()).filter(
        (job) => Date.parse(job.ended_at) < began - 120_000,
      )
      const judged = await Promise.all(
        jobs.map(async (job) => judge(job, await chain.truthOf(job))),
      )
      return summary(judged)
    } finally {
      await chain.close()
    }
  } finally {
    await server.close()
  }
}

interface Judged {
  long: boolean
  error: number
  bounded: boolean
}

function judge({ energy, started_at, ended_at }: JobAnswer, truth: number): Judged {
  const { joules, joules_low, joules_high } = energy
  return {
    long: Date.parse(ended_at) - Date.parse(started_at) >= 600_000,
    error: Math.abs(joules / truth - 1),
    bounded: joules_high !== null && joules_low <= truth && truth <= joules_high,
  }
}

function summary(judged: readonly Judged[]): Record<string, number> {
  const errors = (which: (one: Judged) => boolean) =>
    judged
      .filter(which)
      .map(({ error }) => error)
      .sort((a, b) => a - b)
  const long = errors((one) => one.long)
  const all = errors(() => true)
  return {
    jobs: all.length,
    truth_within_bounds_ratio: judged.filter(({ bounded }) => bounded).length / all.length,
    median_error_ratio: quantile(all, 0.5),
    p95_error_ratio: quantile(all, 0.95),
    jobs_of_ten_minutes: long.length,
    ten_minutes_median_error_ratio: quantile(long, 0.5),
    ten_minutes_p95_error_ratio: quantile(long, 0.95),
    ten_minutes_worst_error_ratio: quantile(long, 1),
  }
}

function quantile(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN
}
