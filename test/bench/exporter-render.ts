import { gunzipSync, gzipSync } from 'node:zlib'
import { Gauge, Registry } from 'prom-client'
import { collectorFor } from '../../exporter/devices/kinds.ts'
import { ExpositionCache } from '../../exporter/exposition-cache.ts'
import { metrics, type Reading } from '../../exporter/metrics.ts'
import { RedfishError } from '../../exporter/redfish/error.ts'
import type { SimulatedDevice } from '../../exporter/simulator/resources.ts'
import { placeOf, world } from './exporter-devices.ts'
import { median } from './figures.ts'

export const name = 'exporter-render'
export const title =
  'Rendering 200,000 series after a poll of power and energy, against prom-client'

export const goals = [
  { key: 'ratio_to_prom_client', least: 5, words: 'prom-client / our rendering, CPU' },
  { key: 'gzip_ratio_to_prom_client', least: 5, words: 'the same, packed with gzip' },
]

const rounds = 7
const series = 200_000

/**
 * Medians of interleaved rounds, of the CPU of this process. Before each, power and energy of all
 * devices have changed, in readings that are new objects, as a poll gives them; our time includes
 * to find out what has changed.
 */
export async function run(): Promise<Record<string, number>> {
  const devices = await simulatedReadings(series)
  const sources = devices.map((readings) => new ChangingSource(readings))
  // A scraper that takes gzip, and one that does not.
  const caches = {
    gzip: new ExpositionCache(() => sources),
    plain: new ExpositionCache(() => sources),
  }
  const theirs = new PromClient(devices)
  const results: Round[] = []
  for (let round = -2; round < rounds; round++) {
    for (const source of sources) source.change()
    theirs.set(sources)
    const result = await measureRound(caches, theirs)
    if (round >= 0) results.push(result)
  }
  const middle = (figure: (round: Round) => number) => median(results.map(figure))
  return {
    ratio_to_prom_client: middle(({ plain, theirs }) => theirs / plain),
    gzip_ratio_to_prom_client: middle(({ gzip, theirsGzip }) => theirsGzip / gzip),
    milliseconds: middle(({ plain }) => plain),
    gzip_milliseconds: middle(({ gzip }) => gzip),
    scrape_milliseconds: middle(({ packing }) => packing),
    unchanged_gzip_milliseconds: middle(({ unchanged }) => unchanged),
    prom_client_milliseconds: middle(({ theirs }) => theirs),
    prom_client_gzip_milliseconds: middle(({ theirsGzip }) => theirsGzip),
    series: devices.reduce((sum, readings) => sum + readings.length, 0),
    changed_ratio: share(sources),
    megabytes: middle(({ bytes }) => bytes / 1e6),
    gzip_megabytes: middle(({ gzipBytes }) => gzipBytes / 1e6),
  }
}

interface Round {
  /** Milliseconds of CPU. */
  gzip: number
  /** Of that, what is left when a scrape comes. */
  packing: number
  unchanged: number
  plain: number
  theirs: number
  theirsGzip: number
  bytes: number
  gzipBytes: number
}

async function measureRound(
  ours: { gzip: ExpositionCache; plain: ExpositionCache },
  theirs: PromClient,
): Promise<Round> {
  const [plain, text] = await timed(async () => ours.plain.render(false, '').plain())
  const [fresh] = await timed(async () => ours.gzip.freshen(Number.POSITIVE_INFINITY))
  const [packing, packed] = await timed(async () => ours.gzip.render(false, '').gzip())
  const [unchanged] = await timed(async () => ours.gzip.render(false, '').gzip())
  const [promClient, theirText] = await timed(() => theirs.text())
  const [promClientPacking] = await timed(async () => gzipSync(theirText, { level: 1 }))
  const lines = linesOf(text.toString())
  if (!gunzipSync(packed).equals(text) || lines !== linesOf(theirText)) {
    throw new Error(`not the same: ${lines} lines and ${linesOf(theirText)}`)
  }
  return {
    plain,
    gzip: fresh + packing,
    packing,
    unchanged,
    theirs: promClient,
    theirsGzip: promClient + promClientPacking,
    bytes: text.length,
    gzipBytes: packed.length,
  }
}

async function timed<T>(work: () => Promise<T>): Promise<[milliseconds: number, result: T]> {
  const before = process.cpuUsage()
  const result = await work()
  const { user, system } = process.cpuUsage(before)
  return [(user + system) / 1000, result]
}

function linesOf(text: string): number {
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length
}

/** A device whose power and energy change. */
class ChangingSource {
  #readings: readonly Reading[]

  constructor(readings: readonly Reading[]) {
    this.#readings = readings
  }

  readings(): readonly Reading[] {
    return this.#readings
  }

  change(): void {
    this.#readings = this.#readings.map((reading) => ({
      ...reading,
      labels: { ...reading.labels },
      value: isFast(reading) ? reading.value + 1.5 : reading.value,
    }))
  }
}

function isFast({ metric }: Reading): boolean {
  return /_(watts|joules_total)$/.test(metric)
}

function share(sources: readonly ChangingSource[]): number {
  const all = sources.flatMap((source) => source.readings())
  return all.filter(isFast).length / all.length
}

/** The same series in prom-client's registry. */
class PromClient {
  readonly #registry = new Registry()
  readonly #gauges = new Map<string, Gauge>()

  constructor(devices: readonly (readonly Reading[])[]) {
    const used = new Set<string>(devices.flat().map(({ metric }) => metric))
    for (const { name, help, labels } of metrics.filter((metric) => used.has(metric.name))) {
      const registers = [this.#registry]
      this.#gauges.set(name, new Gauge({ name, help, labelNames: [...labels], registers }))
    }
  }

  set(sources: readonly ChangingSource[]): void {
    for (const source of sources) {
      for (const { metric, labels, value } of source.readings()) {
        this.#gauges.get(metric)?.set(labels, value)
      }
    }
  }

  text(): Promise<string> {
    return this.#registry.metrics()
  }
}

/** At least so many readings of devices of all simulated kinds, a list for each device. */
async function simulatedReadings(least: number): Promise<Reading[][]> {
  const { templates, asOf } = world()
  const devices: Reading[][] = []
  for (let number = 0, copy = 0; number < least; copy++) {
    for (const { device } of templates) {
      const readings = await readingsOf(device, placeOf(device.xname, copy), asOf())
      devices.push(readings)
      number += readings.length
    }
  }
  return devices
}

async function readingsOf(device: SimulatedDevice, xname: string, at: number): Promise<Reading[]> {
  const get = async (path: string): Promise<unknown> => {
    const read = device.resources.get(path)
    if (read === undefined) throw new RedfishError('unsupported', { xname, path }, 'HTTP 404')
    return JSON.parse(JSON.stringify(read(at)))
  }
  const collector = await collectorFor({ xname }, get)
  const { fast, slow, once = [] } = await collector.plan(get)
  const bodies = new Map<string, unknown>()
  for (const path of [...fast, ...once, ...slow]) bodies.set(path, await get(path))
  return collector.readings({ xname }, bodies)
}
