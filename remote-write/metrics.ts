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
    refusedRequests: new Counter({
      name: 'joulebridge_write_requests_refused_total',
      help: 'Remote-write requests not answered 204, by the limit they met or what else was wrong.',
      labelNames: ['reason'],
      registers,
    }),
    received: new Counter({
      name: 'joulebridge_samples_received_total',
      help: 'Samples in well-formed requests, native histograms included.',
      registers,
    }),
    stored: new Counter({
      name: 'joulebridge_samples_stored_total',
      help: 'Samples committed, those included that were stored before.',
      registers,
    }),
    rejected: new Counter({
      name: 'joulebridge_samples_rejected_total',
      help: 'Samples, native histograms included, that can never be stored: answered 400.',
      labelNames: ['reason'],
      registers,
    }),
    storedHistograms: new Counter({
      name: 'joulebridge_histograms_stored_total',
      help: 'Native histograms committed, those included that were stored before.',
      registers,
    }),
    storedExemplars: new Counter({
      name: 'joulebridge_exemplars_stored_total',
      help: 'Exemplars committed, those included that were stored before.',
      registers,
    }),
    droppedExemplars: new Counter({
      name: 'joulebridge_exemplars_dropped_total',
      help: 'Exemplars that cannot be stored for their time or labels, or with their series.',
      registers,
    }),
    idleSeries: new Counter({
      name: 'joulebridge_idle_series_total',
      help: 'Series let go from memory as no sample of them came for hours.',
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
    readAnswers: new Counter({
      name: 'joulebridge_read_answers_total',
      help: 'Remote-read requests by response type: answered whole, refused, or broken off.',
      labelNames: ['type', 'outcome'],
      registers,
    }),
    readDuration: new Histogram({
      name: 'joulebridge_read_duration_seconds',
      help: 'Time from a remote-read request to the end of its answer, by response type.',
      labelNames: ['type'],
      buckets: [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30],
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
    help: 'Series in memory: those with samples in the last hours.',
    registers: [registry],
    collect() {
      this.set(observed.series())
    },
  })
}
