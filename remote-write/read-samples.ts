import type { ClientBase } from 'pg'
import { ARRAY_HEADER_BYTES, EPOCH_MS } from './postgres/binary.ts'
import { copyOut } from './postgres/copy.ts'
import type { AnswerSeries, HistogramSample } from './protocol/read.ts'
import type { FoundSeries } from './read-series.ts'
import { decodeChunk } from './segments/chunk.ts'
import { SampleColumn } from './segments/column.ts'

/** A series with what it has in the range of the query, in order of time. */
export interface ReadSeries extends FoundSeries, AnswerSeries {
  samples: SampleColumn
  histograms: HistogramSample[]
}

export interface SampleRange {
  fromMs: number
  toMs: number
  /** Samples, above which none are returned. */
  most: number
}

/**
 * The samples of some series in [fromMs, toMs], both ends included, from segments and frames: the
 * series that have any, in the order given, and how many there are; no series when too many.
 */
export async function readSamples(
  client: ClientBase,
  series: readonly FoundSeries[],
  range: SampleRange,
): Promise<{ series: ReadSeries[] | undefined; samples: number }> {
  const gathered = new Gathered(series, range)
  const { whole, single } = byFrame(series)
  await ask(client, series, range)
  await copyOut(client, segmentRows, (row) => gathered.addSegment(row))
  if (whole.length > 0) {
    await copyOut(client, frameRows(whole, range), (row) => gathered.addFrame(row))
  }
  if (single.length > 0) {
    await copyOut(client, seriesRows(single, range), (row) => gathered.addSeries(row))
  }
  await copyOut(client, histogramRows, (row) => gathered.addHistogram(row))
  return gathered.settle()
}

/** The series that have a sample in [fromMs, toMs], without their samples, in the order given. */
export async function seriesWithSamples(
  client: ClientBase,
  series: readonly FoundSeries[],
  { fromMs, toMs }: { fromMs: number; toMs: number },
): Promise<ReadSeries[]> {
  const { rows } = await client.query<{ nth: string | null }>(
    `select string_agg(nth::text, ',' order by nth) as nth
     from unnest($1::int4[]) with ordinality as w (id, nth)
     where exists (
         select from frames
         where frame = w.id >> 6 and time >= $2 and time <= $3 and v[(w.id & 63) + 1] is not null)
       or exists (
         select from segments
         where frame = w.id >> 6 and position = (w.id & 63)::int2
           and t0 > $2::timestamptz - interval '4 hours' and t0 <= $3 and t1 >= $2
           and (t0 >= $2 or t1 <= $3 or exists (select from chunk_samples(chunk, $2, $3))))
       or exists (
         select from histogram
         where frame = w.id >> 6 and position = (w.id & 63)::int2 and time >= $2 and time <= $3)`,
    [series.map(({ id }) => id), toTimestamp(fromMs), toTimestamp(toMs)],
  )
  const wanted = new Set((rows[0]?.nth ?? '').split(',').map(Number))
  const some = series.filter((_, i) => wanted.has(i + 1))
  return some.map((one) => ({ ...one, samples: new SampleColumn(0), histograms: [] }))
}

/** From how many series of one frame on its rows are read whole. */
const wholeFrame = 4

/** A series by its place in the list of those that are asked for. */
interface Single {
  nth: number
  id: number
}

/** The frames that are read whole, and the series of others. */
function byFrame(series: readonly FoundSeries[]): { whole: number[]; single: Single[] } {
  const frames = new Map<number, number>()
  for (const { id } of series) frames.set(id >> 6, (frames.get(id >> 6) ?? 0) + 1)
  const isWhole = (id: number) => (frames.get(id >> 6) ?? 0) >= wholeFrame
  return {
    whole: [...frames].flatMap(([frame, count]) => (count >= wholeFrame ? [frame] : [])),
    single: series.flatMap(({ id }, nth) => (isWhole(id) ? [] : [{ nth, id }])),
  }
}

/** COPY takes no parameters, but it can read settings of the transaction. */
async function ask(
  client: ClientBase,
  series: readonly FoundSeries[],
  { fromMs, toMs }: SampleRange,
): Promise<void> {
  await client.query(
    `select set_config('joulebridge.read_ids', $1, true),
       set_config('joulebridge.read_from', $2, true),
       set_config('joulebridge.read_to', $3, true)`,
    [`{${series.map(({ id }) => id)}}`, toTimestamp(fromMs), toTimestamp(toMs)],
  )
}

/** Within what both PostgreSQL and ISO 8601 can say: Prometheus asks for the end of time. */
function toTimestamp(timeMs: number): string {
  const [earliest, latest] = [-62_135_596_800_000, 253_402_300_799_999]
  return new Date(Math.min(Math.max(timeMs, earliest), latest)).toISOString()
}

/** nth, chunk. A segment's samples lie in one window of 4 h. */
const segmentRows = `
  copy (
    select w.nth::int4, s.chunk
    from unnest(current_setting('joulebridge.read_ids')::int4[]) with ordinality as w (id, nth)
    cross join lateral (
      select chunk
      from segments
      where frame = w.id >> 6 and position = (w.id & 63)::int2
        and t0 > current_setting('joulebridge.read_from')::timestamptz - interval '4 hours'
        and t0 <= current_setting('joulebridge.read_to')::timestamptz
        and t1 >= current_setting('joulebridge.read_from')::timestamptz
      order by t0
    ) s
  ) to stdout (format binary)`

/**
 * frame, time, v: of frames of which many series are wanted, in the order they are found. The
 * numbers stand in the text: only so PostgreSQL knows how many frames are asked for, and reads the
 * table in its own order when they are many. It is written as samples come, so by the index each
 * row of a frame is on another page: four times the work.
 */
function frameRows(frames: readonly number[], range: SampleRange): string {
  return `copy (select frame, time, v from frames f where ${rowsOf(frames, range)})
    to stdout (format binary)`
}

function rowsOf(frames: readonly number[], { fromMs, toMs }: SampleRange): string {
  return `f.frame = any ('{${frames}}'::int4[])
    and f.time >= '${toTimestamp(fromMs)}' and f.time <= '${toTimestamp(toMs)}'`
}

/** nth, times, values: one row for a series and partition, since a row for each sample is slow. */
function seriesRows(single: readonly Single[], range: SampleRange): string {
  const frames = single.map(({ id }) => id >> 6)
  return `copy (
      select w.nth, array_agg(f.time), array_agg(f.v[w.position + 1])
      from unnest(
        '{${single.map(({ nth }) => nth)}}'::int4[], '{${frames}}'::int4[],
        '{${single.map(({ id }) => id & 63)}}'::int4[]
      ) as w (nth, frame, position)
      join frames f on f.frame = w.frame
      where ${rowsOf([...new Set(frames)], range)}
      group by w.nth, f.tableoid
    )
    to stdout (format binary)`
}

/** nth, time, payload. */
const histogramRows = `
  copy (
    select w.nth::int4, h.time, h.payload
    from unnest(current_setting('joulebridge.read_ids')::int4[]) with ordinality as w (id, nth)
    cross join lateral (
      select time, payload
      from histogram
      where frame = w.id >> 6 and position = (w.id & 63)::int2
        and time >= current_setting('joulebridge.read_from')::timestamptz
        and time <= current_setting('joulebridge.read_to')::timestamptz
      order by time
    ) h
  ) to stdout (format binary)`

/** The bytes of a sample in memory, which a histogram takes many times. */
const sampleBytes = 16

/**
 * Takes rows in the binary form of COPY: a count of columns in 16 bits, then each with its length
 * in 32 bits (PostgreSQL manual, COPY; array_send and timestamptz_send in its source).
 */
class Gathered {
  readonly #series: ReadSeries[]
  /** By frame and position. */
  readonly #frames = new Map<number, (ReadSeries | undefined)[]>()
  readonly #range: SampleRange
  #samples = 0

  constructor(series: readonly FoundSeries[], range: SampleRange) {
    this.#range = range
    this.#series = series.map(({ id, labels }) => {
      return { id, labels, samples: new SampleColumn(0), histograms: [] }
    })
    for (const one of this.#series) {
      const positions = this.#frames.get(one.id >> 6) ?? []
      positions[one.id & 63] = one
      this.#frames.set(one.id >> 6, positions)
    }
  }

  addSegment(row: DataView): void {
    if (this.#isFull()) return
    const column = this.#series[row.getInt32(6) - 1]?.samples
    if (!column) return
    const before = column.count
    decodeChunk(new Uint8Array(row.buffer, row.byteOffset + 14, row.getInt32(10)), column)
    this.#cut(column, before)
    this.#samples += column.count - before
  }

  /** Takes out what lies beyond the range, of the samples from `start` on. */
  #cut(column: SampleColumn, start: number): void {
    const { times, words, count } = column
    const { fromMs, toMs } = this.#range
    let [from, to] = [start, count]
    while (from < to && (times[from] ?? 0) < fromMs) from++
    while (to > from && (times[to - 1] ?? 0) > toMs) to--
    if (from > start) {
      times.copyWithin(start, from, to)
      words.copyWithin(2 * start, 2 * from, 2 * to)
    }
    column.count = start + to - from
  }

  addFrame(row: DataView): void {
    if (this.#isFull()) return
    const positions = this.#frames.get(row.getInt32(6)) ?? []
    const timeMs = readTime(row, 14)
    const length = row.getInt32(22) === ARRAY_HEADER_BYTES - 8 ? 0 : row.getInt32(38)
    const wanted = Math.min(length, positions.length)
    let at = 26 + ARRAY_HEADER_BYTES
    let samples = 0
    for (let position = 0; position < wanted; position++) {
      const bytes = row.getInt32(at)
      at += 4
      if (bytes !== 8) continue
      const series = positions[position]
      if (series) {
        series.samples.push(timeMs, row.getUint32(at + 4), row.getUint32(at))
        samples++
      }
      at += 8
    }
    this.#samples += samples
  }

  addSeries(row: DataView): void {
    if (this.#isFull()) return
    const series = this.#series[row.getInt32(6)]
    if (!series) return
    const { samples } = series
    const timesBytes = row.getInt32(10)
    const count = (timesBytes - ARRAY_HEADER_BYTES) / 12
    samples.reserve(samples.count + count)
    const before = samples.count
    let timeAt = 14 + ARRAY_HEADER_BYTES + 4
    let at = 14 + timesBytes + 4 + ARRAY_HEADER_BYTES
    for (let i = 0; i < count; i++) {
      const bytes = row.getInt32(at)
      if (bytes === 8) {
        samples.push(readTime(row, timeAt), row.getUint32(at + 8), row.getUint32(at + 4))
        at += 12
      } else at += 4
      timeAt += 12
    }
    this.#samples += samples.count - before
  }

  addHistogram(row: DataView): void {
    if (this.#isFull()) return
    const series = this.#series[row.getInt32(6) - 1]
    const length = row.getInt32(22)
    const bytes = new Uint8Array(row.buffer, row.byteOffset + 26, length)
    series?.histograms.push({ timeMs: readTime(row, 14), payload: Buffer.from(bytes) })
    this.#samples += Math.ceil(length / sampleBytes)
  }

  settle(): { series: ReadSeries[] | undefined; samples: number } {
    const samples = this.#samples
    if (this.#isFull()) return { series: undefined, samples }
    const series = this.#series.filter((one) => one.samples.count + one.histograms.length > 0)
    for (const one of series) one.samples = inOrder(one.samples)
    return { series, samples }
  }

  /** What comes then is passed over: COPY cannot be stopped. */
  #isFull(): boolean {
    return this.#samples > this.#range.most
  }
}

function readTime(row: DataView, at: number): number {
  const micros = row.getInt32(at) * 2 ** 32 + row.getUint32(at + 4)
  return Math.round(micros / 1000) + EPOCH_MS
}

/** Mostly in order, or made of some stretches that are: an array's own sort takes these as such. */
function inOrder(column: SampleColumn): SampleColumn {
  const { count, times, words } = column
  let i = 1
  while (i < count && (times[i - 1] ?? 0) < (times[i] ?? 0)) i++
  if (i >= count) return column
  const order = Array.from({ length: count }, (_, nth) => nth)
  order.sort((a, b) => (times[a] ?? 0) - (times[b] ?? 0))
  const sorted = new SampleColumn(count)
  for (const nth of order) {
    sorted.push(times[nth] ?? 0, words[2 * nth] ?? 0, words[2 * nth + 1] ?? 0)
  }
  return sorted
}
