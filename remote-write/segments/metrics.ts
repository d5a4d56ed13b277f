import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** What compaction and retention tell of their work. */
export function registerUpkeepMetrics(registry: Registry) {
  const registers = [registry]
  return {
    windowsDue: new Gauge({
      name: 'joulebridge_compaction_windows_due',
      help: 'Windows of samples that were due and not yet compacted when the last run ended.',
      registers,
    }),
    compactedSamples: new Counter({
      name: 'joulebridge_compaction_samples_total',
      help: 'Samples moved from frames to segments.',
      registers,
    }),
    retentionPartitions: new Counter({
      name: 'joulebridge_retention_partitions_dropped_total',
      help: 'Partitions dropped because all they held was older than it is kept.',
      registers,
    }),
    retentionRows: new Counter({
      name: 'joulebridge_retention_rows_deleted_total',
      help: 'Rows of segments and roll-ups deleted whose series are kept for less than others.',
      registers,
    }),
    forgottenSeries: new Counter({
      name: 'joulebridge_series_forgotten_total',
      help: 'Series that went from the database as neither samples nor roll-ups of them were left.',
      registers,
    }),
    compaction: registerRuns(registry, 'compaction'),
    retention: registerRuns(registry, 'retention'),
    stretches: registerRuns(registry, 'stretches'),
  }
}

export type RunMetrics = ReturnType<typeof registerRuns>

function registerRuns(registry: Registry, kind: 'compaction' | 'retention' | 'stretches') {
  const registers = [registry]
  return {
    lastSuccess: new Gauge({
      name: `joulebridge_${kind}_last_success_timestamp_seconds`,
      help: `When a run of ${kind} last ended without a failure; 0: not since the start.`,
      registers,
    }),
    duration: new Histogram({
      name: `joulebridge_${kind}_duration_seconds`,
      help: `Time of a run of ${kind}, failed ones included.`,
      buckets: [0.1, 1, 10, 60, 300, 1200, 3600],
      registers,
    }),
    failures: new Counter({
      name: `joulebridge_${kind}_failures_total`,
      help: `Runs of ${kind} that could not do all: the log says why, the next run tries again.`,
      registers,
    }),
  }
}
