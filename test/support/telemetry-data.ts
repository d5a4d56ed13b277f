import { SampleColumn } from '../../remote-write/segments/column.ts'

export type SensorKind = 'power' | 'energy' | 'temperature' | 'voltage' | 'current' | 'fan'

export interface Sensor {
  kind: SensorKind
  /** Name of the metric, with its unit. */
  metric: string
  /** What a reading is a whole multiple of. */
  resolution: number
}

/**
 * The 40 sensors of a node: power in whole or even watts, energy counters in joules, temperature
 * to 1 or 0.1 C, voltage to 1 mV, current to 10 mA, fans in rpm.
 */
export const sensors: readonly Sensor[] = [
  ...several(4, { kind: 'power', metric: 'node_power_watts', resolution: 1 }),
  ...several(4, { kind: 'power', metric: 'part_power_watts', resolution: 2 }),
  ...several(9, { kind: 'energy', metric: 'part_energy_joules_total', resolution: 1 }),
  ...several(6, { kind: 'temperature', metric: 'board_temperature_celsius', resolution: 1 }),
  ...several(6, { kind: 'temperature', metric: 'part_temperature_celsius', resolution: 0.1 }),
  ...several(4, { kind: 'voltage', metric: 'rail_volts', resolution: 0.001 }),
  ...several(4, { kind: 'current', metric: 'rail_amperes', resolution: 0.01 }),
  ...several(3, { kind: 'fan', metric: 'fan_speed_rpm', resolution: 60 }),
]

export interface TelemetryOptions {
  /** Scrapes of the node. */
  steps: number
  startMs: number
  stepMs?: number
  seed?: number
}

/**
 * What a node's sensors read: a column for each of `sensors`, all with the same times, one every
 * `stepMs`; 2 % of them a few milliseconds late. Jobs come and go, noise is uniform. The same
 * arguments give the same samples.
 */
export function nodeSamples(node: number, options: TelemetryOptions): SampleColumn[] {
  const { steps, startMs, stepMs = 15_000, seed = 1 } = options
  const random = randomNumbers(seed * 65_537 + node)
  const times = scrapeTimes(random, steps, startMs, stepMs)
  const load = loads(random, steps)
  return sensors.map((sensor) => {
    const column = new SampleColumn(steps)
    const read = models[sensor.kind](random, sensor.resolution, stepMs / 1000)
    column.times.set(times)
    for (let i = 0; i < steps; i++) column.values[i] = read(load[i] ?? 0)
    column.count = steps
    return column
  })
}

type Random = () => number

/** Makes the reading of a sensor from the load, 0 to 1, of each scrape in turn. */
type Model = (random: Random, resolution: number, stepSeconds: number) => (load: number) => number

/** Widths of noise: such that the entropy of the differences is about what real sensors have. */
const models: Record<SensorKind, Model> = {
  power: (random, resolution) => {
    const [idle, busy] = [100 + 100 * random(), 200 + 300 * random()]
    return (load) => rounded(idle + busy * load + noise(random, 8), resolution)
  },
  energy: (random, resolution, stepSeconds) => {
    const [idle, busy] = [100 + 100 * random(), 200 + 300 * random()]
    let joules = 1e9 * random()
    return (load) => {
      joules += (idle + busy * load + noise(random, 8)) * stepSeconds
      return rounded(joules, resolution)
    }
  },
  temperature: (random, resolution) => {
    const [idle, busy] = [25 + 10 * random(), 10 + 20 * random()]
    let celsius = idle
    return (load) => {
      celsius += (idle + busy * load - celsius) / 20
      return rounded(celsius + noise(random, 0.3), resolution)
    }
  },
  voltage: (random, resolution) => {
    const nominal = [0.85, 1.2, 3.3, 12][Math.floor(4 * random())] ?? 12
    return (load) => rounded(nominal - 0.005 * load + noise(random, 0.02), resolution)
  },
  current: (random, resolution) => {
    const [idle, busy] = [5 + 5 * random(), 20 + 20 * random()]
    return (load) => rounded(idle + busy * load + noise(random, 0.6), resolution)
  },
  fan: (random, resolution) => {
    let rpm = 4000
    return (load) => {
      if (random() < 0.04) rpm = 4000 + 4000 * load + noise(random, 2000)
      return rounded(rpm, resolution)
    }
  },
}

/** Half the time idle; a job, some 2 h long, has a load of its own. */
function loads(random: Random, steps: number): number[] {
  let load = 0
  return Array.from({ length: steps }, () => {
    if (random() < 1 / 480) load = random() < 0.5 ? 0 : random()
    return load
  })
}

function scrapeTimes(random: Random, steps: number, startMs: number, stepMs: number): number[] {
  return Array.from({ length: steps }, (_, i) => {
    const lateMs = random() < 0.02 ? 1 + Math.floor(5 * random()) : 0
    return startMs + i * stepMs + lateMs
  })
}

function noise(random: Random, width: number): number {
  return width * (random() - 0.5)
}

/** As a parser reads the decimal number, so without the errors of multiplying by 0.001. */
function rounded(value: number, resolution: number): number {
  const steps = Math.round(value / resolution)
  return resolution < 1 ? steps / Math.round(1 / resolution) : steps * resolution
}

function several(count: number, sensor: Sensor): Sensor[] {
  return Array.from({ length: count }, () => sensor)
}

/** Xorshift (Marsaglia 2003): [0, 1) in steps of 2^-32. */
function randomNumbers(seed: number): Random {
  let state = (seed ^ 0x9e3779b9) | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}
