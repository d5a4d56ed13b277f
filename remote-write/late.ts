import type { ClientBase } from 'pg'
import type { Batch } from './batch.ts'
import { decodeChunk } from './segments/chunk.ts'
import { SampleColumn } from './segments/column.ts'
import { windowMs, windowNumber } from './segments/window.ts'

/** Frames whose chunks are fetched at a time: some 20 MB if all are full. */
const framesAtOnce = 500

/**
 * Makes the rows of a batch with times before `beforeMs` fit to be written, within the caller's
 * transaction: what a segment has already is dropped from the batch, since its value stays. Until
 * the transaction ends no sample of these windows moves from frames to segments, and their
 * partitions stay.
 */
export async function dropStored(
  client: ClientBase,
  batch: Batch,
  beforeMs: number,
): Promise<void> {
  const windows = spansByWindow(batch.keysBefore(beforeMs))
  for (const window of [...windows.keys()].sort((a, b) => a - b)) {
    await client.query('select open_late_window($1)', [window])
    const spans = [...(windows.get(window)?.values() ?? [])]
    for (let from = 0; from < spans.length; from += framesAtOnce) {
      await dropStoredOf(client, batch, window, spans.slice(from, from + framesAtOnce))
    }
  }
}

/** The late times of a frame in one window, both ends included. */
interface Span {
  frame: number
  fromMs: number
  toMs: number
}

function spansByWindow(keys: Iterable<{ frame: number; timeMs: number }>) {
  const windows = new Map<number, Map<number, Span>>()
  for (const { frame, timeMs } of keys) {
    const number = windowNumber(timeMs)
    const spans = windows.get(number) ?? new Map<number, Span>()
    windows.set(number, spans)
    const span = spans.get(frame) ?? { frame, fromMs: timeMs, toMs: timeMs }
    span.fromMs = Math.min(span.fromMs, timeMs)
    span.toMs = Math.max(span.toMs, timeMs)
    spans.set(frame, span)
  }
  return windows
}

async function dropStoredOf(
  client: ClientBase,
  batch: Batch,
  window: number,
  spans: readonly Span[],
): Promise<void> {
  const { rows } = await client.query<{ frame: number; position: number; chunk: Buffer }>(
    `select s.frame, s.position, s.chunk
     from unnest($1::int4[], $2::timestamptz[], $3::timestamptz[])
       as span (frame, from_time, to_time)
     join segments s on s.frame = span.frame and s.t0 <= span.to_time and s.t1 >= span.from_time
       and s.t0 >= $4 and s.t0 < $5`,
    [
      spans.map(({ frame }) => frame),
      spans.map(({ fromMs }) => new Date(fromMs)),
      spans.map(({ toMs }) => new Date(toMs)),
      new Date(window * windowMs),
      new Date((window + 1) * windowMs),
    ],
  )
  const column = new SampleColumn()
  for (const { frame, position, chunk } of rows) {
    column.clear()
    decodeChunk(chunk, column)
    for (let i = 0; i < column.count; i++) {
      batch.drop(frame, position, column.times[i] ?? 0)
    }
  }
}
