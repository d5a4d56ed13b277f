import type { Pool } from 'pg'
import { Gauge, type Registry } from 'prom-client'
import type { Logger } from '../../exporter/service/log.ts'
import { readStorage, type Storage } from './storage.ts'

export interface StorageOptions {
  pool: Pool
  log: Logger
  now: () => Date
}

/** Reading takes some tenths of a second of the database: for `/metrics` it is done seldom. */
const scrapedAgeMs = 10 * 60 * 1000
const askedAgeMs = 5000

/** The size of the record, read at most as often as its reader can bear. */
export class StorageCache {
  readonly #options: StorageOptions
  #latest: Storage | undefined
  #reading: Promise<Storage> | undefined

  constructor(options: StorageOptions) {
    this.#options = options
  }

  /** At most some seconds old. */
  async fresh(): Promise<Storage> {
    return this.#younger(askedAgeMs) ?? (await this.#read())
  }

  /** What was read last, without waiting; when that is old, it is read anew meanwhile. */
  latest(): Storage | undefined {
    if (!this.#younger(scrapedAgeMs)) {
      this.#read().catch((error: unknown) => {
        this.#options.log.warn({ error }, 'size of the record not read')
      })
    }
    return this.#latest
  }

  #younger(ageMs: number): Storage | undefined {
    const age = this.#options.now().getTime() - (this.#latest?.read_at.getTime() ?? 0)
    return age < ageMs ? this.#latest : undefined
  }

  #read(): Promise<Storage> {
    const { pool, now } = this.#options
    this.#reading ??= readStorage(pool, now())
      .then((storage) => {
        this.#latest = storage
        return storage
      })
      .finally(() => {
        this.#reading = undefined
      })
    return this.#reading
  }
}

type Read = (storage: Storage) => readonly (readonly [Record<string, string>, number | null])[]

/** The figures of `joulebridge storage`, of at most ten minutes ago. */
export function registerStorageMetrics(registry: Registry, cache: StorageCache): void {
  for (const [name, help, labelNames, read] of gauges) {
    new Gauge({
      name: `joulebridge_storage_${name}`,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset()
        const storage = cache.latest()
        for (const [labels, value] of storage ? read(storage) : []) {
          if (value !== null) this.set(labels, value)
        }
      },
    })
  }
}

const gauges: [name: string, help: string, labels: string[], read: Read][] = [
  [
    'bytes',
    'Bytes on disk, indexes included, by kind of table.',
    ['kind'],
    ({ bytes }) => Object.entries(bytes).map(([kind, size]) => [{ kind }, size] as const),
  ],
  ['series', 'Series in the database.', [], ({ series }) => [[{}, series]]],
  [
    'samples',
    'Samples, about, by state: live in frames or compacted in segments.',
    ['state'],
    ({ live, compacted }) => [
      [{ state: 'live' }, live.samples_about],
      [{ state: 'compacted' }, compacted.samples_about],
    ],
  ],
  [
    'bytes_per_sample',
    'Bytes on disk of frames or segments by their samples, about.',
    ['state'],
    ({ live, compacted }) => [
      [{ state: 'live' }, live.bytes_per_sample_about],
      [{ state: 'compacted' }, compacted.bytes_per_sample_about],
    ],
  ],
  [
    'compression_ratio',
    'How many times smaller the record is, all counted, than 16 bytes a sample; about.',
    [],
    ({ compression_ratio_about }) => [[{}, compression_ratio_about]],
  ],
  [
    'day_samples',
    'Samples of the last 24 hours, about.',
    [],
    ({ samples_per_day_about }) => [[{}, samples_per_day_about]],
  ],
  [
    'oldest_sample_timestamp_seconds',
    'Time of the oldest sample, about.',
    [],
    ({ oldest_sample_about }) => [[{}, seconds(oldest_sample_about)]],
  ],
  [
    'newest_sample_timestamp_seconds',
    'Time of the newest sample, about.',
    [],
    ({ newest_sample_about }) => [[{}, seconds(newest_sample_about)]],
  ],
  [
    'uncompacted_windows',
    'Windows of 4 h that are over and still have samples in frames.',
    [],
    ({ uncompacted_windows }) => [[{}, uncompacted_windows]],
  ],
  [
    'metric_series',
    'Series of the ten metrics that have most.',
    ['metric'],
    ({ top_by_series }) => top_by_series.map(({ metric, series }) => [{ metric }, series] as const),
  ],
  [
    'metric_bytes',
    'Bytes of frames and segments, about, of the ten metrics that take most.',
    ['metric'],
    ({ top_by_bytes }) =>
      top_by_bytes.map(({ metric, bytes_about }) => [{ metric }, bytes_about] as const),
  ],
  [
    'read_timestamp_seconds',
    'When these figures were read.',
    [],
    ({ read_at }) => [[{}, seconds(read_at)]],
  ],
]

function seconds(time: Date | null): number | null {
  return time === null ? null : time.getTime() / 1000
}
