import type { TimedReading } from './merge.ts'
import type { Series } from './write-request.ts'

/**
 * Packs readings into requests of at most `most` samples. What one device took at one instant goes
 * together, however much it is: the record keeps it as one row.
 */
export function packInstants(readings: readonly TimedReading[], most: number): TimedReading[][] {
  const instants = new Map<string, TimedReading[]>()
  for (const reading of readings) {
    const instant = `${reading.labels['bmc']} ${reading.timeMs}`
    const together = instants.get(instant)
    if (together === undefined) instants.set(instant, [reading])
    else together.push(reading)
  }
  const requests: TimedReading[][] = []
  for (const together of instants.values()) {
    const last = requests.at(-1)
    if (last && last.length + together.length <= most) last.push(...together)
    else requests.push([...together])
  }
  return requests
}

/** The same by series, each with its samples in order of time, one of a time. */
export function seriesOf(
  readings: readonly TimedReading[],
  labelsOf: (reading: TimedReading) => Series['labels'],
): Series[] {
  const found = new Map<string, { labels: Series['labels']; values: Map<number, number> }>()
  for (const reading of readings) {
    const { key, timeMs, value } = reading
    const series = found.get(key) ?? { labels: labelsOf(reading), values: new Map() }
    found.set(key, series)
    series.values.set(timeMs, value)
  }
  return [...found.values()].map(({ labels, values }) => ({
    labels,
    samples: [...values]
      .map(([timeMs, value]) => ({ timeMs, value }))
      .sort((a, b) => a.timeMs - b.timeMs),
  }))
}
