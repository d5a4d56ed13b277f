import { setImmediate as nextTurn } from 'node:timers/promises'
import type { ClientBase } from 'pg'
import { CopyRows, copyIn, copyOut } from '../postgres/copy.ts'
import { decodeChunk, encodeChunk } from './chunk.ts'
import type { SampleColumn } from './column.ts'
import { type Ends, earlierEnds, endsBefore } from './ends.ts'
import { FrameSamples, frameWidth, rowFrame } from './merge.ts'
import {
  addRollupRow,
  addSegmentRow,
  copyRollup,
  copySegments,
  type FrameHours,
  mergeHours,
  readRollupRow,
} from './rows.ts'
import {
  type End,
  hoursWithStep,
  longestStepMs,
  summarize,
  type WindowStatistics,
} from './statistics.ts'
import { windowMs, windowNumber } from './window.ts'

/** Work at a stretch, so that requests in the same process don't wait for it. */
const longestTurnMs = 5

/** Some frames of the window that begins at `windowStartMs`. */
export interface WindowFrames {
  windowStartMs: number
  frames: readonly number[]
}

/** Moves rows of frames to segments, within the caller's transaction. Keeps its buffers. */
export class FrameCompactor {
  readonly #client: ClientBase
  readonly #segments = new CopyRows()
  readonly #rollup = new CopyRows()
  readonly #spare: FrameSamples[] = []
  #turnBegan = performance.now()

  constructor(client: ClientBase) {
    this.#client = client
  }

  /**
   * Compacts what the table frames has of them, together with what segments has already; the
   * number of samples that moved. Holds the window's lock until the transaction ends: whoever
   * writes late samples (open_late_window) waits.
   * @throws {Error} of the database, or for bytes that are no chunk.
   */
  async compact(asked: WindowFrames): Promise<number> {
    await this.#client.query(
      `select set_config('synchronous_commit', 'off', true),
         set_config('lock_timeout', '30s', true),
         pg_advisory_xact_lock(hashtext('joulebridge window'), $1)`,
      [windowNumber(asked.windowStartMs)],
    )
    const frames = new Map<number, FrameSamples>()
    const oldEnds = await this.#takeSegments(asked, frames)
    const samples = await this.#takeFrames(asked, frames)
    const newEnds = await this.#write(asked, frames)
    await this.#rollAgain(asked, changedEnds(oldEnds, newEnds))
    for (const frame of frames.values()) this.#spare.push(frame)
    return samples
  }

  /** Takes their segments out, and gives the ends that their series had. */
  async #takeSegments(asked: WindowFrames, frames: Map<number, FrameSamples>): Promise<Ends> {
    await copyOut(this.#client, copyRows(deleteSegments(asked)), (row) => {
      const frame = this.#frame(frames, rowFrame(row))
      const column = frame.columns[row.getInt16(14)]
      if (!column) throw new Error(`frame ${rowFrame(row)}: position ${row.getInt16(14)}`)
      decodeChunk(new Uint8Array(row.buffer, row.byteOffset + 20, row.getInt32(16)), column)
      frame.disorder()
    })
    const ends: Ends = new Map()
    for (const [id, column] of columnsOf(frames)) {
      const { last } = summarize(column)
      if (last) ends.set(id, last)
    }
    return ends
  }

  async #takeFrames(asked: WindowFrames, frames: Map<number, FrameSamples>): Promise<number> {
    let samples = 0
    await copyOut(this.#client, copyRows(deleteFrames(asked)), (row) => {
      samples += this.#frame(frames, rowFrame(row)).addRow(row)
    })
    return samples
  }

  async #write(asked: WindowFrames, frames: Map<number, FrameSamples>): Promise<Ends> {
    const before = await this.#before(asked, frames)
    const older = await this.#takeRollup(asked)
    const ends: Ends = new Map()
    for (const [frame, samples] of frames) {
      samples.settle()
      const newer = await this.#addFrame(frame, samples, before, ends)
      older.set(frame, mergeHours(older.get(frame), newer))
    }
    for (const [frame, hours] of older) {
      addRollupRow(this.#rollup, { frame, windowStartMs: asked.windowStartMs, hours })
    }
    await copyIn(this.#client, copySegments, this.#segments.take())
    await copyIn(this.#client, copyRollup, this.#rollup.take())
    return ends
  }

  /** Adds the segments of a frame to the rows; notes where its series end. */
  async #addFrame(
    frame: number,
    samples: FrameSamples,
    before: Ends,
    ends: Ends,
  ): Promise<FrameHours> {
    const hours: FrameHours[number][] = []
    for (const [position, column] of samples.columns.entries()) {
      if (column.count === 0) continue
      const statistics = summarize(column)
      addSegmentRow(this.#segments, segmentOf(frame, position, column, statistics))
      const id = frame * frameWidth + position
      hours[position] = hoursWithStep(statistics, before.get(id))
      if (statistics.last) ends.set(id, statistics.last)
      await this.#breathe()
    }
    return hours
  }

  /** Takes their roll-ups out. */
  async #takeRollup(asked: WindowFrames): Promise<Map<number, FrameHours>> {
    const rows = new Map<number, FrameHours>()
    await copyOut(this.#client, copyRows(deleteRollup(asked)), (row) => {
      rows.set(rowFrame(row), readRollupRow(row))
    })
    return rows
  }

  /** Where the series of these frames ended before the window. */
  async #before(asked: WindowFrames, frames: ReadonlyMap<number, FrameSamples>): Promise<Ends> {
    const ends = await endsBefore(this.#client, asked)
    const missing = [...columnsOf(frames)].map(([id]) => id).filter((id) => !ends.has(id))
    if (missing.length === 0) return ends
    const earlier = await earlierEnds(this.#client, missing, asked.windowStartMs)
    for (const [id, end] of earlier) ends.set(id, end)
    return ends
  }

  /** Late samples change the step into the next window: makes the roll-ups there anew. */
  async #rollAgain({ windowStartMs }: WindowFrames, changed: readonly number[]): Promise<void> {
    if (changed.length === 0) return
    const { rows } = await this.#client.query<{ frame: number; number: number }>(nextWindows, [
      changed,
      new Date(windowStartMs + windowMs),
      new Date(windowStartMs + windowMs + longestStepMs),
    ])
    for (const { frame, number } of rows) {
      await this.#rollFrameAgain(frame, number * windowMs)
    }
  }

  async #rollFrameAgain(frame: number, windowStartMs: number): Promise<void> {
    const asked = { windowStartMs, frames: [frame] }
    const { rows } = await this.#client.query<{ position: number; chunk: Buffer }>(
      `select position, chunk from segments
       where frame = $1 and t0 >= $2 and t0 < $3`,
      [frame, new Date(windowStartMs), new Date(windowStartMs + windowMs)],
    )
    const samples = this.#newFrame()
    for (const { position, chunk } of rows) {
      const column = samples.columns[position]
      if (column) decodeChunk(chunk, column)
      await this.#breathe()
    }
    const before = await this.#before(asked, new Map([[frame, samples]]))
    const hours = samples.columns.map((column, position) =>
      column.count === 0
        ? undefined
        : hoursWithStep(summarize(column), before.get(frame * frameWidth + position)),
    )
    this.#spare.push(samples)
    const older = await this.#takeRollup(asked)
    const merged = mergeHours(older.get(frame), hours)
    addRollupRow(this.#rollup, { frame, windowStartMs, hours: merged })
    await copyIn(this.#client, copyRollup, this.#rollup.take())
  }

  #frame(frames: Map<number, FrameSamples>, frame: number): FrameSamples {
    const known = frames.get(frame)
    if (known) return known
    const made = this.#newFrame()
    frames.set(frame, made)
    return made
  }

  #newFrame(): FrameSamples {
    const frame = this.#spare.pop() ?? new FrameSamples()
    frame.clear()
    return frame
  }

  async #breathe(): Promise<void> {
    if (performance.now() - this.#turnBegan < longestTurnMs) return
    await nextTurn()
    this.#turnBegan = performance.now()
  }
}

function segmentOf(
  frame: number,
  position: number,
  column: SampleColumn,
  statistics: WindowStatistics,
) {
  return {
    frame,
    position,
    fromMs: column.times[0] ?? 0,
    toMs: column.times[column.count - 1] ?? 0,
    n: column.count,
    chunk: encodeChunk(column),
    statistics,
  }
}

/** The columns that have samples, each with the id of its series. */
function* columnsOf(
  frames: ReadonlyMap<number, FrameSamples>,
): Iterable<readonly [id: number, column: SampleColumn]> {
  for (const [frame, { columns }] of frames) {
    for (const [position, column] of columns.entries()) {
      if (column.count > 0) yield [frame * frameWidth + position, column]
    }
  }
}

function changedEnds(old: Ends, now: Ends): number[] {
  return [...now].filter(([id, end]) => !isSame(end, old.get(id))).map(([id]) => id)
}

function isSame(end: End, other: End | undefined): boolean {
  return end.timeMs === other?.timeMs && end.value === other.value
}

/** COPY takes no parameters: numbers and instants of ours stand in its text. */
function copyRows(statement: string): string {
  return `copy (${statement}) to stdout (format binary)`
}

function deleteFrames(asked: WindowFrames): string {
  return `delete from frames where ${conditions(asked, 'time')} returning frame, time, v`
}

function deleteSegments(asked: WindowFrames): string {
  return `delete from segments where ${conditions(asked, 't0')} returning frame, position, chunk`
}

function conditions({ windowStartMs, frames }: WindowFrames, time: 'time' | 't0'): string {
  const from = new Date(windowStartMs).toISOString()
  const to = new Date(windowStartMs + windowMs).toISOString()
  return `frame = any ('{${frames.join(',')}}') and ${time} >= '${from}' and ${time} < '${to}'`
}

function deleteRollup(asked: WindowFrames): string {
  return `delete from rollup where ${conditions(asked, 't0')}
    returning frame, n, min, max, sum, area, increase`
}

/** The first window of each series, by its id, in an interval, as numbers from 1970. */
const nextWindows = `
  select distinct asked.id >> 6 as frame, window_number(s.t0) as number
  from unnest($1::int4[]) as asked (id)
  cross join lateral (
    select t0
    from segments
    where frame = asked.id >> 6 and position = asked.id & 63 and t0 >= $2 and t0 < $3
      and first is not null
    order by t0
    limit 1
  ) s
  where (select exists (
    select from segments
    where frame >= (select min(id) >> 6 from unnest($1::int4[]) as id)
      and frame <= (select max(id) >> 6 from unnest($1::int4[]) as id)
      and t0 >= $2 and t0 < $3))`
