import type { SampleColumn } from './column.ts'
import { hourOfWindow, hoursPerWindow } from './window.ts'

/** The value that a series had last, and when. */
export interface End {
  timeMs: number
  value: number
}

/** Of an hour's samples that are not NaN; falls, area and increase of the steps that end in it. */
export interface HourStatistics {
  n: number
  falls: number
  min: number
  max: number
  sum: number
  area: number
  increase: number
}

/** Of one series in one window. */
export interface WindowStatistics {
  /** How often the value fell from one sample to the next. */
  resets: number
  /** The first and the last sample that are not NaN, if any. */
  first: End | undefined
  last: End | undefined
  /** Whether the last sample of all is NaN. */
  ended: boolean
  min: number
  max: number
  sum: number
  area: number
  increase: number
  /** By hour of the window, the steps within the window only. */
  hours: readonly HourStatistics[]
}

/** A longer step adds nothing to the area under the curve. */
const longestAreaStepMs = 300_000

/** A longer step from window to window adds nothing to the increase. */
export const longestStepMs = 24 * 3600 * 1000

/** Statistics of the samples of one window, in order of time. Linear in the samples. */
export function summarize(column: SampleColumn): WindowStatistics {
  const { count, times, values } = column
  const hours = Array.from({ length: hoursPerWindow }, emptyHour)
  let [first, timeMs, previous] = [-1, 0, Number.NaN]
  for (let i = 0; i < count; ) {
    const hour = hourOfWindow(times[i] ?? 0)
    const end = hourEnd(times[i] ?? 0)
    let { n, falls, min, max, sum, area, increase } = emptyHour()
    for (; i < count && (times[i] ?? 0) < end; i++) {
      const value = values[i] ?? 0
      if (Number.isNaN(value)) continue
      const now = times[i] ?? 0
      if (first < 0) first = i
      else {
        area += areaOf(now - timeMs, previous, value)
        increase += value < previous ? value : value - previous
        if (value < previous) falls++
      }
      n++
      sum += value
      if (value < min) min = value
      if (value > max) max = value
      timeMs = now
      previous = value
    }
    hours[hour] = { n, falls, min, max, sum, area, increase }
  }
  const total = (figure: 'falls' | 'sum' | 'area' | 'increase') =>
    hours.reduce((sum, hour) => sum + hour[figure], 0)
  return {
    resets: total('falls'),
    first: first < 0 ? undefined : { timeMs: times[first] ?? 0, value: values[first] ?? 0 },
    last: first < 0 ? undefined : { timeMs, value: previous },
    ended: count > 0 && Number.isNaN(values[count - 1]),
    min: Math.min(...hours.map((hour) => hour.min)),
    max: Math.max(...hours.map((hour) => hour.max)),
    sum: total('sum'),
    area: total('area'),
    increase: total('increase'),
    hours,
  }
}

/** The hours of a window with the step from the end of an earlier one, up to a day before it. */
export function hoursWithStep(
  { hours, first }: WindowStatistics,
  before: End | undefined,
): readonly HourStatistics[] {
  if (!first || !before || first.timeMs - before.timeMs > longestStepMs) return hours
  const hour = hours[hourOfWindow(first.timeMs)] ?? emptyHour()
  const step = first.timeMs - before.timeMs
  const area = hour.area + areaOf(step, before.value, first.value)
  const fell = first.value < before.value
  const increase = hour.increase + (fell ? first.value : first.value - before.value)
  const falls = hour.falls + (fell ? 1 : 0)
  return hours.with(hourOfWindow(first.timeMs), { ...hour, falls, area, increase })
}

/** What a counter rose by in the hour; NaN for a series that falls as often as no counter does. */
export function counterIncrease({ n, falls, increase }: HourStatistics): number {
  return falls > 3 && falls * 4 > n ? Number.NaN : increase
}

function areaOf(stepMs: number, before: number, value: number): number {
  return stepMs > longestAreaStepMs ? 0 : ((before + value) / 2) * (stepMs / 1000)
}

function hourEnd(timeMs: number): number {
  return (Math.floor(timeMs / 3_600_000) + 1) * 3_600_000
}

/** Of no samples. */
export function emptyHour(): HourStatistics {
  return {
    n: 0,
    falls: 0,
    min: Number.POSITIVE_INFINITY,
    max: Number.NEGATIVE_INFINITY,
    sum: 0,
    area: 0,
    increase: 0,
  }
}
