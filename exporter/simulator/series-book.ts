import type { Collector, Plan } from '../devices/kinds.ts'
import type { Reading } from '../metrics.ts'
import type { Series } from '../telemetry/forward.ts'
import type { Seconds } from './load.ts'
import type { SimulatedDevice } from './resources.ts'

/** A device with what the exporter would ask of it. */
export interface Observed {
  device: SimulatedDevice
  collector: Collector
  plan: Plan
}

/** Pace of power and energy, and of the rest; one divides the other. */
export const fastSeconds = 10
const slowSeconds = 60

/** What is read of a device at one pace, and the series that its readings were of last time. */
interface Round {
  device: SimulatedDevice
  collector: Collector
  reads: readonly [path: string, read: (at: Seconds) => unknown][]
  /** Filled anew at each reading; collectors keep nothing of it. */
  resources: Map<string, unknown>
  guesses: Known[]
}

interface Known {
  metric: string
  /** How many labels the readings have, without those of the target. */
  size: number
  labels: Record<string, string>
  samples: { timeMs: number; value: number }[]
}

/**
 * Gathers the readings of all devices into series: power and energy each 10 s, the rest each 60 s;
 * of iPDUs, which are slow to answer, all each 60 s. A device's readings come in the same order
 * each time, so the series of each is guessed by its place and the guess only compared.
 */
export class SeriesBook {
  readonly #fast: readonly Round[]
  readonly #slow: readonly Round[]
  readonly #targetLabels: Readonly<Record<string, string>>
  readonly #known = new Map<string, Known>()

  constructor(observed: readonly Observed[], targetLabels: Readonly<Record<string, string>>) {
    this.#targetLabels = targetLabels
    this.#slow = observed.map((one) => roundOf(one, [...one.plan.fast, ...one.plan.slow]))
    this.#fast = observed
      .filter(({ device }) => device.kind !== 'jaws')
      .map((one) => roundOf(one, one.plan.fast))
  }

  /** What the exporter would have read in (from, to], the series always in the same order. */
  window(from: Seconds, to: Seconds): Series[] {
    for (let at = nextInstant(from); at <= to; at += fastSeconds) {
      const slow = at % slowSeconds === 0
      for (const round of slow ? this.#slow : this.#fast) this.#read(round, at, slow)
    }
    const filled = [...this.#known.values()].filter(({ samples }) => samples.length > 0)
    return filled.map((known) => {
      const { labels, samples } = known
      known.samples = []
      return { labels, samples }
    })
  }

  #read({ device, collector, reads, resources, guesses }: Round, at: Seconds, slow: boolean): void {
    for (const [path, read] of reads) resources.set(path, read(at))
    let index = 0
    for (const reading of collector.readings(device, resources)) {
      if (!slow && reading.metric === countOfAllSensors) continue
      const guess = guesses[index]
      const known = guess && isOf(guess, reading) ? guess : this.#find(reading)
      guesses[index++] = known
      known.samples.push({ timeMs: at * 1000, value: reading.value })
    }
  }

  #find(reading: Reading): Known {
    const { metric } = reading
    const labels = { __name__: metric, ...reading.labels, ...this.#targetLabels }
    const size = Object.keys(reading.labels).length
    const key = JSON.stringify(Object.entries(labels).sort())
    const known = this.#known.get(key) ?? { metric, size, labels, samples: [] }
    this.#known.set(key, known)
    return known
  }
}

function roundOf({ device, collector, plan }: Observed, paths: readonly string[]): Round {
  const reads = [...(plan.once ?? []), ...paths].flatMap((path): Round['reads'] => {
    const read = device.resources.get(path)
    return read ? [[path, read]] : []
  })
  return { device, collector, reads, resources: new Map(), guesses: [] }
}

/** Counts over all of a device's sensors: wrong when only some of them were read. */
const countOfAllSensors = 'cray_sensors_without_reading'

/** The first instant of the pace after `at`. */
function nextInstant(at: Seconds): Seconds {
  return (Math.floor(at / fastSeconds) + 1) * fastSeconds
}

function isOf({ metric, labels, size }: Known, reading: Reading): boolean {
  if (metric !== reading.metric) return false
  let left = size
  for (const name in reading.labels) {
    if (reading.labels[name] !== labels[name]) return false
    left--
  }
  return left === 0
}
