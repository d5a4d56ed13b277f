import { Counter, Gauge, type Registry } from 'prom-client'

export type SlurmMetrics = ReturnType<typeof registerSlurmMetrics>

/** What `slurm ship`, `poll` and `write-back` tell of themselves; each of its own work. */
export function registerSlurmMetrics(registry: Registry) {
  const registers = [registry]
  return {
    delivered: new Counter({
      name: 'joulebridge_slurm_events_delivered_total',
      help: 'Events that remote-write has taken.',
      registers,
    }),
    refused: new Counter({
      name: 'joulebridge_slurm_events_refused_total',
      help: 'Events that can never be taken as they are: the log has them.',
      registers,
    }),
    passes: new Counter({
      name: 'joulebridge_slurm_passes_total',
      help: 'Looks for work, by whether all of it could be done: done or failed.',
      labelNames: ['outcome'],
      registers,
    }),
    lastSuccess: new Gauge({
      name: 'joulebridge_slurm_last_success_timestamp_seconds',
      help: 'When all work was last done; 0: not yet.',
      registers,
    }),
  }
}

/** Counts a look for work. */
export function countPass(metrics: SlurmMetrics | undefined, done: boolean): void {
  metrics?.passes.inc({ outcome: done ? 'done' : 'failed' })
  if (done) metrics?.lastSuccess.setToCurrentTime()
}

/** What the spool directory holds: how far behind the shipper is. */
export function registerSpoolGauge(registry: Registry): Gauge {
  return new Gauge({
    name: 'joulebridge_slurm_spool_files',
    help: 'Event files that waited in the spool directory at the last look.',
    registers: [registry],
  })
}
