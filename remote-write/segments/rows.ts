import { types } from '../postgres/binary.ts'
import type { CopyRows } from '../postgres/copy.ts'
import { frameWidth } from './merge.ts'
import {
  counterIncrease,
  emptyHour,
  type HourStatistics,
  type WindowStatistics,
} from './statistics.ts'
import { hoursPerWindow } from './window.ts'

export const copySegments = `copy segments (frame, position, ended, t0, t1, n, resets,
  first, last, min, max, sum, area, increase, chunk) from stdin (format binary)`

export const copyRollup = `copy rollup (frame, t0, n, min, max, sum, area, increase)
  from stdin (format binary)`

export interface Segment {
  frame: number
  position: number
  /** Of the first and the last sample. */
  fromMs: number
  toMs: number
  n: number
  chunk: Uint8Array
  statistics: WindowStatistics
}

const segmentColumns = 15
const longestColumn = 12

export function addSegmentRow(rows: CopyRows, segment: Segment): void {
  const { statistics, chunk } = segment
  rows.row(segmentColumns, segmentColumns * longestColumn + chunk.length)
  rows.int4(segment.frame)
  rows.int2(segment.position)
  rows.bool(statistics.ended)
  rows.time(segment.fromMs)
  rows.time(segment.toMs)
  rows.int4(segment.n)
  rows.int4(statistics.resets)
  for (const figure of segmentFigures(statistics)) {
    if (figure === undefined) rows.null()
    else rows.float8(figure)
  }
  rows.bytes(chunk)
}

/** In the order of the columns; undefined where no sample is a number. */
function segmentFigures(of: WindowStatistics): readonly (number | undefined)[] {
  if (!of.first || !of.last) return new Array(7).fill(undefined)
  return [of.first.value, of.last.value, of.min, of.max, of.sum, of.area, of.increase]
}

/** The hours of each position of a frame in one window; none for a position without a sample. */
export type FrameHours = readonly (readonly HourStatistics[] | undefined)[]

const figures = ['min', 'max', 'sum', 'area', 'increase'] as const
const arrayHeaderBytes = 24

/** Adds nothing when no hour has a sample that is a number. */
export function addRollupRow(
  rows: CopyRows,
  { frame, windowStartMs, hours }: { frame: number; windowStartMs: number; hours: FrameHours },
): void {
  const cells = cellsOf(hours)
  if (cells.length === 0) return
  const arrayBytes = arrayHeaderBytes + cells.length * longestColumn
  rows.row(3 + figures.length, 2 * longestColumn + (1 + figures.length) * arrayBytes)
  rows.int4(frame)
  rows.time(windowStartMs)
  rows.array(types.int4, cells.length, (i) => {
    const cell = cells[i]
    if (cell) rows.int4(cell.n)
    else rows.null()
  })
  for (const figure of figures) {
    rows.array(types.float8, cells.length, (i) => {
      const value = figureOf(cells[i], figure)
      if (Number.isNaN(value)) rows.null()
      else rows.float8(value)
    })
  }
}

/** NaN for none. */
function figureOf(cell: HourStatistics | undefined, figure: (typeof figures)[number]): number {
  if (!cell) return Number.NaN
  return figure === 'increase' ? counterIncrease(cell) : cell[figure]
}

/**
 * What `addRollupRow` wrote, from a row (frame, n, min, max, sum, area, increase) as COPY sends it.
 */
export function readRollupRow(row: DataView): HourStatistics[][] {
  const hours: HourStatistics[][] = []
  let at = 10
  at = readArray(row, at, (index, value) => {
    const position = index % frameWidth
    const cells = hours[position] ?? Array.from({ length: hoursPerWindow }, emptyHour)
    hours[position] = cells
    cells[Math.floor(index / frameWidth)] = {
      ...emptyHour(),
      n: row.getInt32(value),
      increase: Number.NaN,
    }
  })
  for (const figure of figures) {
    at = readArray(row, at, (index, value) => {
      const cell = hours[index % frameWidth]?.[Math.floor(index / frameWidth)]
      if (cell) cell[figure] = row.getFloat64(value)
    })
  }
  return hours
}

/** Calls `visit` with the index of each element that is not NULL and where it is; the end. */
function readArray(row: DataView, at: number, visit: (index: number, at: number) => void): number {
  const end = at + 4 + row.getInt32(at)
  let element = at + arrayHeaderBytes
  for (let index = 0; element < end; index++) {
    const length = row.getInt32(element)
    if (length > 0) visit(index, element + 4)
    element += 4 + Math.max(length, 0)
  }
  return end
}

/**
 * Both hour by hour; of two for one hour that of more samples, else the newer: retention may have
 * taken the samples away that the older was made of.
 */
export function mergeHours(older: FrameHours | undefined, newer: FrameHours): FrameHours {
  if (!older) return newer
  return Array.from({ length: frameWidth }, (_, position) => {
    const [before, now] = [older[position], newer[position]]
    if (!before || !now) return now ?? before
    return now.map((hour, i) => {
      const other = before[i]
      return other && other.n > hour.n ? other : hour
    })
  })
}

/** By 64 * hour + position, up to the last that has samples. */
function cellsOf(hours: FrameHours): (HourStatistics | undefined)[] {
  const cells = Array.from({ length: hoursPerWindow * frameWidth }, (_, i) => {
    const cell = hours[i % frameWidth]?.[Math.floor(i / frameWidth)]
    return cell && cell.n > 0 ? cell : undefined
  })
  return cells.slice(0, cells.findLastIndex((cell) => cell !== undefined) + 1)
}
