import type { Collector } from '../devices/collector.ts'
import { crayPlace } from '../devices/cray-place.ts'
import { seriesText } from '../exposition.ts'
import type { MetricName, Reading } from '../metrics.ts'
import type { Resources } from '../polling/resources.ts'
import { inBaseUnits, unitOf } from '../redfish/units.ts'
import { clockErrorMs, clockToleranceMs } from './clock.ts'
import type { PushedSample } from './events.ts'

/** A reading with its time; `key` is its series as it stands in the output. */
export interface TimedReading extends Reading {
  key: string
  timeMs: number
}

export type MergeFault = 'unknown_sensor' | 'never_read' | 'out_of_time' | 'duplicate'

export interface Merged {
  /** In order of time. */
  readings: TimedReading[]
  faults: ReadonlyMap<MergeFault, number>
}

/** What a polled device is known to have. */
export interface KnownDevice {
  xname: string
  collector: Collector
  /** Every path that is polled. */
  paths: readonly string[]
  resources: Resources
}

/** A sensor as its polled resource names it. */
interface KnownSensor {
  /** When that resource was polled. */
  polledAt: number
  reading: Pick<TimedReading, 'metric' | 'labels' | 'key'>
  factor: number
}

/**
 * Puts what a device pushes into the places of what is polled from it: a pushed sample becomes the
 * reading of its Redfish sensor, when it is the newest by the device's time. So there is one series
 * per sensor, whichever way its values come.
 */
export class Merge {
  #paths: readonly string[] | undefined
  #pathOf = new Map<string, string>()
  readonly #sensors = new Map<string, KnownSensor>()
  /** The device's time of the newest pushed sample, by path. */
  readonly #newestMs = new Map<string, number>()
  #clockErrorMs = 0

  take(samples: readonly PushedSample[], device: KnownDevice, receivedMs: number): Merged {
    this.#learn(device)
    const faults = new Map<MergeFault, number>()
    const readings: TimedReading[] = []
    const latest = new Map<string, PushedSample>()
    const sorted = [...samples].sort((a, b) => a.deviceMs - b.deviceMs)
    const middleMs = sorted[sorted.length >> 1]?.deviceMs ?? receivedMs
    this.#clockErrorMs = clockErrorMs(middleMs, receivedMs, this.#clockErrorMs)
    for (const sample of sorted) {
      const placed = this.#place(sample, device, middleMs)
      if (typeof placed === 'string') {
        faults.set(placed, (faults.get(placed) ?? 0) + 1)
        continue
      }
      const { path, sensor } = placed
      const value = inBaseUnits(sample.value, sensor.factor)
      readings.push({ ...sensor.reading, value, timeMs: sample.deviceMs - this.#clockErrorMs })
      if (sample.deviceMs < (this.#newestMs.get(path) ?? Number.NEGATIVE_INFINITY)) continue
      this.#newestMs.set(path, sample.deviceMs)
      latest.set(path, sample)
    }
    for (const [path, { value, deviceMs }] of latest) {
      device.resources.hear(path, { value, deviceMs }, receivedMs)
    }
    return { readings, faults }
  }

  /** Finds out which sensor is meant by which place and id, when the device was looked up anew. */
  #learn({ xname, paths }: KnownDevice): void {
    if (paths === this.#paths) return
    this.#paths = paths
    this.#pathOf = sensorPaths(xname, paths)
    this.#sensors.clear()
    const present = new Set(paths)
    for (const path of this.#newestMs.keys()) if (!present.has(path)) this.#newestMs.delete(path)
  }

  /** Undefined until the sensor was polled: its name and unit stand only there. */
  #sensor(path: string, { xname, collector, resources }: KnownDevice): KnownSensor | undefined {
    const kept = resources.kept(path)
    if (kept === undefined) return undefined
    const known = this.#sensors.get(path)
    if (known?.polledAt === kept.polledAt) return known
    const body = { ...Object(kept.body), Reading: 1, ReadingTime: undefined }
    const found = collector
      .readings({ xname }, new Map([[path, body]]))
      .find(({ metric }) => !aboutSensors.has(metric))
    if (found === undefined) return undefined
    const { metric, labels } = found
    const reading = { metric, labels, key: seriesText(found) }
    const sensor = { polledAt: kept.polledAt, reading, factor: unitOf(kept.body)?.factor ?? 1 }
    this.#sensors.set(path, sensor)
    return sensor
  }

  /** The samples of a body are of about one time; one that is not has no time to believe. */
  #place({ location, sensor: id, deviceMs, value }: PushedSample, device: KnownDevice, at: number) {
    const path = this.#pathOf.get(`${location} ${id}`)
    const sensor = path === undefined ? undefined : this.#sensor(path, device)
    if (path === undefined || sensor === undefined) return 'unknown_sensor'
    if (value === 0 && new Date(deviceMs).getUTCFullYear() === 1970) return 'never_read'
    if (Math.abs(deviceMs - at) > clockToleranceMs) return 'out_of_time'
    return this.#newestMs.get(path) === deviceMs ? 'duplicate' : { path, sensor }
  }
}

/** Readings that a collector gives of the sensors, not of what they measure. */
const aboutSensors: ReadonlySet<MetricName> = new Set<MetricName>([
  'cray_sensors_without_reading',
  'cray_sensor_reading_timestamp_seconds',
])

const sensorPath = /^\/redfish\/v1\/Chassis\/([^/]+)\/Sensors\/([^/]+)$/

/**
 * The path of a sensor by `LOCATION ID`. In events a rectifier is at its chassis, and the sensors
 * of a controller's own card are at the controller. Where network cards are is not documented: two
 * sensors that have the same place and id are left to polling.
 */
function sensorPaths(bmc: string, paths: readonly string[]): Map<string, string> {
  const found = new Map<string, string>()
  const doubtful = new Set<string>()
  for (const path of paths) {
    const [, chassis, sensor] = sensorPath.exec(path) ?? []
    if (chassis === undefined || sensor === undefined) continue
    const places = [crayPlace(bmc, chassis).xname, crayPlace(bmc, chassis, sensor).xname]
    if (chassis === 'Enclosure') places.push(bmc)
    for (const place of new Set(places)) {
      const key = `${place} ${sensor}`
      if (found.has(key)) doubtful.add(key)
      found.set(key, path)
    }
  }
  for (const key of doubtful) found.delete(key)
  return found
}
