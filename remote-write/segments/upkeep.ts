import { schedule } from 'node-cron'
import type { Pool } from 'pg'
import type { Registry } from 'prom-client'
import type { Logger } from '../../exporter/service/log.ts'
import type { Partitions } from '../partitions.ts'
import type { RemoteWriteSettings } from '../settings.ts'
import { compactDue } from './compact.ts'
import { type RunMetrics, registerUpkeepMetrics } from './metrics.ts'
import { applyRetention } from './retention.ts'

export interface UpkeepOptions {
  pool: Pool
  partitions: Partitions
  registry: Registry
  log: Logger
  settings: Pick<RemoteWriteSettings, 'compaction' | 'retention' | 'jobLabels' | 'energy'>
}

/**
 * Compacts, lets go and notes what counters did by the clock. `close` resolves when what runs has
 * ended, soon.
 */
export function startUpkeep(options: UpkeepOptions): { close(): Promise<void> } {
  const { settings, registry, log } = options
  const metrics = registerUpkeepMetrics(registry)
  const stop = new AbortController()
  const { signal } = stop
  const compact = oneAtATime({ name: 'compaction', metrics: metrics.compaction, log }, () =>
    runCompaction(options, metrics, signal),
  )
  const retain = oneAtATime(
    { name: 'retention', metrics: metrics.retention, log },
    retention(options, metrics, signal),
  )
  const note = oneAtATime({ name: 'stretches', metrics: metrics.stretches, log }, () =>
    noteEnergy(options, metrics, signal),
  )
  const tasks = [
    schedule(settings.compaction.schedule, compact.run),
    schedule(retentionSchedule, retain.run),
    schedule(stretchesSchedule, note.run),
  ]
  return {
    async close() {
      stop.abort()
      for (const task of tasks) await task.destroy()
      await Promise.all([compact.ended(), retain.ended(), note.ended()])
    },
  }
}

/** Hourly, apart from the full hour, when partitions are made. */
const retentionSchedule = '30 * * * *'

/** The energy of a job reads all samples that are younger than the last run by ten minutes. */
const stretchesSchedule = '*/5 * * * *'

type Metrics = ReturnType<typeof registerUpkeepMetrics>

async function runCompaction(
  { pool, partitions, settings, log }: UpkeepOptions,
  metrics: Metrics,
  signal: AbortSignal,
): Promise<Record<string, number> | undefined> {
  const { delaySeconds } = settings.compaction
  const compacted = await compactDue(pool, { delaySeconds, partitions, signal })
  if (!compacted) return undefined
  const { samples, windows, windowsDue, failures } = compacted
  metrics.windowsDue.set(windowsDue)
  metrics.compactedSamples.inc(samples)
  for (const error of failures) log.error({ error }, 'window not compacted')
  if (failures.length > 0) metrics.compaction.failures.inc()
  else metrics.compaction.lastSuccess.setToCurrentTime()
  return { samples, windows, windows_due: windowsDue }
}

/** Keeps from run to run what was swept; once a day it sweeps again, for what came late. */
function retention(
  { pool, partitions, settings }: UpkeepOptions,
  metrics: Metrics,
  signal: AbortSignal,
): () => Promise<Record<string, number> | undefined> {
  const swept = new Set<string>()
  let runs = 0
  return async () => {
    if (runs++ % 24 === 0) swept.clear()
    const jobLabels = settings.jobLabels.jobId
    const options = { settings: settings.retention, jobLabels, partitions, swept, signal }
    const retained = await applyRetention(pool, options)
    if (!retained) return undefined
    const { droppedPartitions, deletedRows, forgottenSeries, partitionsInUse } = retained
    metrics.retentionPartitions.inc(droppedPartitions)
    metrics.retentionRows.inc(deletedRows)
    metrics.forgottenSeries.inc(forgottenSeries)
    metrics.retention.lastSuccess.setToCurrentTime()
    return {
      dropped_partitions: droppedPartitions,
      deleted_rows: deletedRows,
      forgotten_series: forgottenSeries,
      partitions_in_use: partitionsInUse,
    }
  }
}

/** Where counters rose without an event, and then the energy of runs that have settled. */
async function noteEnergy(
  { pool, settings }: UpkeepOptions,
  metrics: Metrics,
  signal: AbortSignal,
): Promise<Record<string, number> | undefined> {
  const { rows } = await pool.query<{ counters: number | null }>(
    'select note_stretches(now()) as counters',
  )
  const counters = rows[0]?.counters ?? null
  if (counters === null) return undefined
  const kept = await keepEnergy(pool, settings.energy.maxGapSeconds, signal)
  metrics.stretches.lastSuccess.setToCurrentTime()
  return { counters, kept_runs: kept }
}

/** At most for a minute, and some runs at a time: whoever tells of jobs waits for each lot. */
async function keepEnergy(pool: Pool, maxGapSeconds: number, signal: AbortSignal): Promise<number> {
  const until = Date.now() + 60_000
  let kept = 0
  while (!signal.aborted && Date.now() < until) {
    const { rows } = await pool.query<{ runs: number | null }>(
      'select keep_energy(now(), $1) as runs',
      [maxGapSeconds],
    )
    const runs = rows[0]?.runs ?? 0
    kept += runs
    if (runs < 200) break
  }
  return kept
}

interface Named {
  name: string
  metrics: RunMetrics
  log: Logger
}

/** A run that comes while one is at work is left out; one that fails is told and counted. */
function oneAtATime(
  { name, metrics, log }: Named,
  work: () => Promise<Record<string, number> | undefined>,
) {
  let running: Promise<void> | undefined
  const attempt = async () => {
    const stop = metrics.duration.startTimer()
    try {
      const done = await work()
      if (done) log.info({ ...done, duration_seconds: stop() }, `${name} run`)
      else log.debug(`${name}: another process is at it`)
    } catch (error) {
      metrics.failures.inc()
      log.error({ error, duration_seconds: stop() }, `${name} failed`)
    }
    running = undefined
  }
  return {
    run() {
      running ??= attempt()
      return running
    },
    ended: () => running ?? Promise.resolve(),
  }
}
