import type { Collector } from '../devices/collector.ts'
import { isOddlyNamed, nodeNames } from '../devices/cray-nodes.ts'
import { crayPlace } from '../devices/cray-place.ts'
import { seriesText } from '../exposition.ts'
import type { MetricName, Reading } from '../metrics.ts'
import type { Resources } from '../polling/resources.ts'
import { textAt } from '../redfish/parse.ts'
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
  /** Those of each series in order of time. */
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
interface Sensor {
  reading: Pick<TimedReading, 'metric' | 'labels' | 'key'>
  factor: number
}

interface KnownSensor {
  /** When that resource was polled. */
  polledAt: number
  /** Undefined: it measures nothing that has a metric. */
  sensor: Sensor | undefined
}

/** Names and units hardly ever change: what is polled often is not read anew each time. */
const sensorReadMs = 600_000

/** After so long each sensor that a device pushes at all has come. */
const firstPushesMs = 300_000

/** A sample that came before its sensor was polled for the first time. */
interface Early {
  sample: PushedSample
  timeMs: number
}

/** Of one sensor: slow ones are first polled minutes after the device began to push. */
const mostEarly = 300
/** Of one device. */
const mostEarlyOfAll = 20_000

/**
 * Puts what a device pushes into the places of what is polled from it: a pushed sample becomes the
 * reading of its Redfish sensor, when it is the newest by the device's time. So there is one series
 * per sensor, whichever way its values come.
 */
export class Merge {
  #paths: readonly string[] | undefined
  #pathOf = new Map<string, string>()
  /** What tells the nodes of a controller that are not called `NodeN`. */
  #aboutNodes: ReadonlyMap<string, unknown> = new Map()
  #oddlyNamed = false
  readonly #sensors = new Map<string, KnownSensor>()
  /** The device's time of the newest pushed sample, by path. */
  readonly #newestMs = new Map<string, number>()
  readonly #early = new Map<string, Early[]>()
  #earlyCount = 0
  #clockErrorMs = 0
  #firstHeardMs = Number.POSITIVE_INFINITY

  take(samples: readonly PushedSample[], device: KnownDevice, receivedMs: number): Merged {
    this.#learn(device)
    const faults = new Map<MergeFault, number>()
    const count = (fault: MergeFault) => faults.set(fault, (faults.get(fault) ?? 0) + 1)
    const readings: TimedReading[] = []
    const latest = new Map<string, PushedSample>()
    const sorted = [...samples].sort((a, b) => a.deviceMs - b.deviceMs)
    const middleMs = sorted[sorted.length >> 1]?.deviceMs ?? receivedMs
    this.#clockErrorMs = clockErrorMs(middleMs, receivedMs, this.#clockErrorMs)
    const add = (path: string, sensor: Sensor, { sample, timeMs }: Early) => {
      const { metric, labels, key } = sensor.reading
      const value = inBaseUnits(sample.value, sensor.factor)
      readings.push({ metric, labels, key, value, timeMs })
      if (sample.deviceMs < (this.#newestMs.get(path) ?? Number.NEGATIVE_INFINITY)) return
      this.#newestMs.set(path, sample.deviceMs)
      latest.set(path, sample)
    }
    this.#firstHeardMs = Math.min(this.#firstHeardMs, receivedMs)
    this.#takeEarly(device, add)
    for (const sample of sorted) {
      const { deviceMs } = sample
      const path = this.#pathOf.get(`${sample.location} ${sample.sensor}`)
      const fault = this.#faultOf(sample, path, middleMs)
      if (fault !== undefined) {
        count(fault)
      } else if (path !== undefined) {
        const timed = { sample, timeMs: deviceMs - this.#clockErrorMs }
        const known = this.#sensor(path, device)
        if (known?.sensor !== undefined) add(path, known.sensor, timed)
        else if (known !== undefined || !this.#keep(path, timed)) count('unknown_sensor')
      }
    }
    for (const [path, { value, deviceMs }] of latest) {
      device.resources.hear(path, { value, deviceMs }, receivedMs)
    }
    return { readings, faults }
  }

  /**
   * When the sensors that may be pushed took the readings that are known of them, by series and in
   * our time: all until the device has pushed for some minutes, then those that it has pushed. A
   * time that cannot be believed is left out.
   */
  times(device: KnownDevice, now: number): Map<string, number> {
    this.#learn(device)
    const found = new Map<string, number>()
    const pushed = now - this.#firstHeardMs > firstPushesMs ? this.#newestMs : undefined
    for (const path of new Set(this.#pathOf.values())) {
      if (pushed !== undefined && !pushed.has(path)) continue
      const body = device.resources.kept(path)?.body
      const takenMs = Date.parse(textAt(body, 'ReadingTime') ?? '') - this.#clockErrorMs
      if (!(Math.abs(takenMs - now) <= clockToleranceMs)) continue
      const key = this.#sensor(path, device)?.sensor?.reading.key
      if (key !== undefined) found.set(key, takenMs)
    }
    return found
  }

  /** Finds out which sensor is meant by which place and id, when the device was looked up anew. */
  #learn({ xname, paths, resources }: KnownDevice): void {
    const isKnown = paths === this.#paths
    if (isKnown && !this.#oddlyNamed) return
    this.#oddlyNamed = paths.some((path) => sensorPath.test(path) && isOddlyNamed(path))
    const nodes = this.#oddlyNamed ? aboutNodes(paths, resources) : new Map<string, unknown>()
    if (isKnown && nodes.size === this.#aboutNodes.size) return
    this.#paths = paths
    this.#aboutNodes = nodes
    this.#pathOf = sensorPaths(xname, paths, nodeNames(nodes))
    this.#sensors.clear()
    const present = new Set(paths)
    for (const path of this.#newestMs.keys()) if (!present.has(path)) this.#newestMs.delete(path)
    this.#early.clear()
    this.#earlyCount = 0
  }

  /** Gives what came early of sensors that have been polled since. */
  #takeEarly(device: KnownDevice, add: (path: string, sensor: Sensor, early: Early) => void): void {
    for (const [path, kept] of this.#early) {
      const known = this.#sensor(path, device)
      if (known === undefined) continue
      this.#early.delete(path)
      this.#earlyCount -= kept.length
      for (const each of kept) if (known.sensor !== undefined) add(path, known.sensor, each)
    }
  }

  /** Whether there was room for it. */
  #keep(path: string, early: Early): boolean {
    const kept = this.#early.get(path) ?? []
    if (kept.length >= mostEarly || this.#earlyCount >= mostEarlyOfAll) return false
    this.#early.set(path, kept)
    this.#earlyCount++
    return kept.push(early) > 0
  }

  /** Undefined until the sensor was polled: its name and unit stand only there. */
  #sensor(path: string, { xname, collector, resources }: KnownDevice): KnownSensor | undefined {
    const kept = resources.kept(path)
    if (kept === undefined) return undefined
    const known = this.#sensors.get(path)
    if (known && kept.polledAt - known.polledAt < sensorReadMs) return known
    const body = { ...Object(kept.body), Reading: 1, ReadingTime: undefined }
    const shown = (bodies: ReadonlyMap<string, unknown>) =>
      collector.readings({ xname }, bodies).filter(({ metric }) => !aboutSensors.has(metric))
    const others = new Set(this.#aboutNodes.size > 0 ? shown(this.#aboutNodes).map(seriesText) : [])
    const found = shown(new Map([...this.#aboutNodes, [path, body]])).find(
      (each) => !others.has(seriesText(each)),
    )
    const factor = unitOf(kept.body)?.factor ?? 1
    const sensor = found && {
      reading: { metric: found.metric, labels: found.labels, key: seriesText(found) },
      factor,
    }
    const learnt = { polledAt: kept.polledAt, sensor }
    this.#sensors.set(path, learnt)
    return learnt
  }

  /** The samples of a body are of about one time; one that is not has no time to believe. */
  #faultOf({ deviceMs, value }: PushedSample, path: string | undefined, at: number) {
    if (path === undefined) return 'unknown_sensor'
    if (value === 0 && deviceMs < year1971) return 'never_read'
    if (Math.abs(deviceMs - at) > clockToleranceMs) return 'out_of_time'
    return this.#newestMs.get(path) === deviceMs ? 'duplicate' : undefined
  }
}

/** A sensor that was never read has a time of 1970 and a 0. */
const year1971 = Date.UTC(1971)

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
function sensorPaths(
  bmc: string,
  paths: readonly string[],
  names: ReadonlyMap<string, string>,
): Map<string, string> {
  const found = new Map<string, string>()
  const doubtful = new Set<string>()
  for (const path of paths) {
    const [, chassis, sensor] = sensorPath.exec(path) ?? []
    if (chassis === undefined || sensor === undefined) continue
    const part = names.get(`Chassis/${chassis}`) ?? chassis
    const places = [crayPlace(bmc, part).xname, crayPlace(bmc, part, sensor).xname]
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

/** What of that has been polled. */
function aboutNodes(paths: readonly string[], resources: Resources): Map<string, unknown> {
  const components = new Set(paths.flatMap((path) => componentPath.exec(path)?.[0] ?? []))
  const about = [...components].flatMap((path) => [path, `${path}/Sensors`, `${path}/Power`])
  const known = about.flatMap((path): [string, unknown][] => {
    const body = resources.kept(path)?.body
    return body === undefined ? [] : [[path, body]]
  })
  return new Map(known)
}

const componentPath = /^\/redfish\/v1\/(?:Chassis|Systems)\/[^/]+/
