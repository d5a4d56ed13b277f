import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** What the receiver tells of its own work. */
export type WriteMetrics = ReturnType<typeof registerMetrics>

export interface Observed {
  openSamples: () => number
  series: () => number
}

export function registerMetrics(registry: Registry, observed: Observed) {
  const registers = [registry]
  registerGauges(registry, observed)
  return {
    writeRequests: new Counter({
      name: 'joulebridge_write_requests_total',
      help: 'Remote-write requests, by the status they were answered with.',
      labelNames: ['code'],
      registers,
    }),
    received: new Counter({
      name: 'joulebridge_samples_received_total',
      help: 'Samples in well-formed requests.',
      registers,
    }),
    stored: new Counter({
      name: 'joulebridge_samples_stored_total',
      help: 'Samples committed, those included that were stored before.',
      registers,
    }),
    rejected: new Counter({
      name: 'joulebridge_samples_rejected_total',
      help: 'Samples answered with 400 because they can never be stored.',
      labelNames: ['reason'],
      registers,
    }),
    skipped: new Counter({
      name: 'joulebridge_skipped_total',
      help: 'Exemplars and native histograms that were received and not stored.',
      labelNames: ['kind'],
      registers,
    }),
    commitDuration: new Histogram({
      name: 'joulebridge_commit_duration_seconds',
      help: 'Time of a transaction that stores samples, failed ones included.',
      buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
      registers,
    }),
    readRequests: new Counter({
      name: 'joulebridge_read_requests_total',
      help: 'Remote-read requests, by the status they were answered with.',
      labelNames: ['code'],
      registers,
    }),
    readSamples: new Counter({
      name: 'joulebridge_read_samples_total',
      help: 'Samples in answers to remote-read requests.',
      registers,
    }),
  }
}

function registerGauges(registry: Registry, observed: Observed): void {
  new Gauge({
    name: 'joulebridge_open_samples',
    help: 'Samples that wait for their commit.',
    registers: [registry],
    collect() {
      this.set(observed.openSamples())
    },
  })
  new Gauge({
    name: 'joulebridge_series',
    help: 'Series that the receiver knows.',
    registers: [registry],
    collect() {
      this.set(observed.series())
    },
  })
}
