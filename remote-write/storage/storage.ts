import type { Pool } from 'pg'

/** What of the record is where, and how large. Numbers that are estimated end in `_about`. */
export interface Storage {
  /** When this was read. */
  read_at: Date
  bytes: Record<string, number>
  bytes_total: number
  series: number
  /** Samples in frames, and in segments. */
  live: Samples
  compacted: Samples
  /** Of all bytes of the record, and of all samples. */
  bytes_per_sample_about: number | null
  /** How many times smaller that is than 16 bytes: 8 of time and 8 of value. */
  compression_ratio_about: number | null
  /** Of the last 24 hours. */
  samples_per_day_about: number
  oldest_sample_about: Date | null
  newest_sample_about: Date | null
  /** Windows of 4 h that are over and still have samples in frames, and when the first began. */
  uncompacted_windows: number
  uncompacted_since: Date | null
  metrics: number
  top_by_series: MetricSize[]
  top_by_bytes: MetricSize[]
}

export interface Samples {
  bytes: number
  samples_about: number
  bytes_per_sample_about: number | null
}

/** Bytes are of frames and segments, the record's largest tables. */
export interface MetricSize {
  metric: string
  series: number
  bytes_about: number
}

/** Metrics shown in each list. */
const shownMetrics = 10

const rawSampleBytes = 16
const dayMs = 24 * 3600 * 1000

/** Reads the catalog and a few pages of each partition: never all samples. */
export async function readStorage(pool: Pool, now: Date): Promise<Storage> {
  const bytes = await selectBytes(pool)
  const frames = await selectPartitions(pool, 'frames')
  const segments = await selectPartitions(pool, 'segments')
  const metrics = await selectMetrics(pool)
  const bytes_total = Object.values(bytes).reduce((sum, size) => sum + size, 0)
  const live = samplesIn(frames, bytes['frames'] ?? 0)
  const compacted = samplesIn(segments, bytes['segments'] ?? 0)
  const samples = live.samples_about + compacted.samples_about
  const perSample = samples === 0 ? null : bytes_total / samples
  const parts = [...frames, ...segments]
  const sized = metricSizes(metrics, live.bytes, compacted.bytes)
  const waiting = frames.filter((part) => part.to <= now && part.samples > 0)
  return {
    read_at: now,
    bytes,
    bytes_total,
    series: metrics.reduce((sum, { series }) => sum + series, 0),
    live,
    compacted,
    bytes_per_sample_about: perSample,
    compression_ratio_about: perSample === null ? null : rawSampleBytes / perSample,
    samples_per_day_about: Math.round(parts.reduce((sum, part) => sum + lastDay(part, now), 0)),
    oldest_sample_about: extreme(
      parts.map(({ oldest }) => oldest),
      Math.min,
    ),
    newest_sample_about: extreme(
      parts.map(({ newest }) => newest),
      Math.max,
    ),
    uncompacted_windows: waiting.length,
    uncompacted_since: waiting[0]?.from ?? null,
    metrics: metrics.length,
    top_by_series: sized.toSorted((a, b) => b.series - a.series).slice(0, shownMetrics),
    top_by_bytes: sized.toSorted((a, b) => b.bytes_about - a.bytes_about).slice(0, shownMetrics),
  }
}

async function selectBytes(pool: Pool): Promise<Record<string, number>> {
  const { rows } = await pool.query<{ kind: string; bytes: number }>(
    'select s.kind, s.bytes::float8 as bytes from storage_size() s order by s.bytes desc, s.kind',
  )
  return Object.fromEntries(rows.map(({ kind, bytes }) => [kind, bytes]))
}

interface Part {
  from: Date
  to: Date
  samples: number
  oldest: Date | null
  newest: Date | null
}

async function selectPartitions(pool: Pool, parent: 'frames' | 'segments'): Promise<Part[]> {
  const { rows } = await pool.query<Part>(
    `select p.from_time as "from", p.to_time as "to", p.sample_count::float8 as samples, p.oldest,
       p.newest
     from storage_partition($1) p
     order by p.from_time`,
    [parent],
  )
  return rows
}

interface MetricRow {
  metric: string
  series: number
  segment_bytes: number | null
}

async function selectMetrics(pool: Pool): Promise<MetricRow[]> {
  const { rows } = await pool.query<MetricRow>(
    `select m.metric, m.series_count::float8 as series, m.segment_bytes
     from storage_metric() m
     order by m.metric`,
  )
  return rows
}

function samplesIn(parts: readonly Part[], bytes: number): Samples {
  const samples = parts.reduce((sum, part) => sum + part.samples, 0)
  return {
    bytes,
    samples_about: samples,
    bytes_per_sample_about: samples === 0 ? null : bytes / samples,
  }
}

/** Which of a partition's samples are of the last day, if they are spread evenly over it. */
function lastDay({ from, to, samples }: Part, now: Date): number {
  const end = Math.min(to.getTime(), now.getTime())
  const whole = end - from.getTime()
  const within = end - Math.max(from.getTime(), now.getTime() - dayMs)
  return whole > 0 && within > 0 ? (samples * within) / whole : 0
}

function extreme(
  times: readonly (Date | null)[],
  choose: (a: number, b: number) => number,
): Date | null {
  const known = times.flatMap((time) => (time === null ? [] : [time.getTime()]))
  return known.length === 0 ? null : new Date(known.reduce((a, b) => choose(a, b)))
}

/**
 * Shares the bytes out: those of frames by the number of series, those of segments also by how
 * large a segment of the metric is. A metric of which none was seen counts as the mean of those.
 */
function metricSizes(rows: readonly MetricRow[], live: number, compacted: number): MetricSize[] {
  const known = rows.flatMap(({ segment_bytes }) => segment_bytes ?? [])
  const mean = known.reduce((sum, bytes) => sum + bytes, 0) / Math.max(known.length, 1)
  const weights = rows.map(({ series, segment_bytes }) => series * (segment_bytes ?? mean))
  const series = rows.reduce((sum, row) => sum + row.series, 0)
  const weight = weights.reduce((sum, one) => sum + one, 0)
  return rows.map((row, i) => {
    const frames = (live * row.series) / Math.max(series, 1)
    const segments = weight === 0 ? 0 : (compacted * (weights[i] ?? 0)) / weight
    return { metric: row.metric, series: row.series, bytes_about: Math.round(frames + segments) }
  })
}
