import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createRandom } from '../../exporter/simulator/random.ts'
import { chartSvg } from './exporter-chart.ts'
import { type Fault, type Fleet, faults, startFleet } from './exporter-fleet.ts'
import { type ExporterProcess, startExporterProcess, startScraper } from './exporter-process.ts'

export const name = 'soak'
export const title = 'The exporter with devices that break at random: does it stay as it is?'
/** Runs only when it is asked for by name. */
export const long = true

export const goals = [
  { key: 'unhandled', most: 0, words: 'soak: rejections and warnings that nobody handled' },
  { key: 'heap_growth_ratio', most: 0.05, words: 'soak: growth of the heap in its second half' },
  { key: 'failures_of_sound_devices', most: 0, words: 'soak: failed requests to sound devices' },
]

const devices = 150
/** Every tenth never breaks. */
const soundEvery = 10
const faultsPerSecond = 0.5
const meanFaultSeconds = 25
const secondsPerPoint = 20

interface Point {
  minutes: number
  /** After a collection of all garbage. */
  heapMegabytes: number
  residentMegabytes: number
  faulty: number
  up: number
}

/**
 * Breaks devices at random in all ways that `faults` names, one by one, and repairs them. The heap
 * is looked at after its garbage has been collected; its growth is that of a straight line through
 * the second half, as a share of the mean there.
 */
export async function run({ minutes = 30 } = {}): Promise<Record<string, number>> {
  const fleet = await startFleet({ devices })
  try {
    const exporter = await startExporterProcess({
      fleet,
      poll: { fastSeconds: 5, slowSeconds: 60, timeoutSeconds: 3 },
      nodeOptions: ['--expose-gc', '--import', new URL('soak-collect.ts', import.meta.url).href],
      logLevel: 'error',
    })
    try {
      return await soak(fleet, exporter, minutes)
    } finally {
      await exporter.close()
    }
  } finally {
    fleet.close()
  }
}

async function soak(
  fleet: Fleet,
  exporter: ExporterProcess,
  minutes: number,
): Promise<Record<string, number>> {
  const scraper = startScraper(exporter.url, {})
  const breaker = startBreaking(fleet)
  const began = performance.now()
  const passed = () => (performance.now() - began) / 60_000
  const points: Point[] = []
  let body = ''
  try {
    while (passed() < minutes) {
      await sleep(secondsPerPoint * 1000)
      process.kill(exporter.pid, 'SIGUSR2')
      await sleep(1000)
      body = (await scraper.scrape()).body.toString()
      points.push(await pointOf(body, exporter, { minutes: passed(), faulty: breaker.faulty }))
    }
  } finally {
    await breaker.stop()
    scraper.close()
  }
  await keepChart(points)
  const log = await exporter.log()
  if (log !== '') process.stderr.write(`the exporter's log:\n${log.slice(0, 4000)}\n`)
  return {
    unhandled: log.split('\n').filter((line) => /UNHANDLED|Warning|poll broke/.test(line)).length,
    heap_growth_ratio: growthRatio(points.slice(points.length / 2)),
    failures_of_sound_devices: failuresOfSound(body, fleet),
    faults: breaker.faults,
    requests: await fleet.requests(),
    heap_megabytes: points.at(-1)?.heapMegabytes ?? Number.NaN,
    resident_megabytes: points.at(-1)?.residentMegabytes ?? Number.NaN,
    most_resident_megabytes: Math.max(...points.map(({ residentMegabytes }) => residentMegabytes)),
    cpu_seconds_per_minute: (await exporter.cpuSeconds()) / passed(),
    minutes: passed(),
  }
}

async function pointOf(
  body: string,
  exporter: ExporterProcess,
  at: Pick<Point, 'minutes' | 'faulty'>,
): Promise<Point> {
  const value = (metric: string) => Number(new RegExp(`^${metric} (\\S+)$`, 'm').exec(body)?.[1])
  return {
    ...at,
    heapMegabytes: value('nodejs_heap_size_used_bytes') / 1e6,
    residentMegabytes: await exporter.residentMegabytes(),
    up: [...body.matchAll(/^cray_device_up\{[^}]*\} 1$/gm)].length,
  }
}

/** Gives random devices random faults, of which each is gone after a random time. */
function startBreaking(fleet: Fleet) {
  const random = createRandom(7)
  const until = new Map<number, number>()
  let broken = 0
  const step = async () => {
    const now = performance.now()
    const changes: { index: number; fault: Fault | undefined }[] = []
    for (const [index, end] of until) if (end < now) changes.push({ index, fault: undefined })
    for (const { index } of changes) until.delete(index)
    const index = Math.floor(random.next() * devices)
    if (index % soundEvery !== 0 && !until.has(index) && random.next() < faultsPerSecond) {
      const fault = faults[Math.floor(random.next() * faults.length)]
      changes.push({ index, fault })
      until.set(index, now + random.exponential(meanFaultSeconds) * 1000)
      broken++
    }
    await fleet.setFaults(changes)
  }
  const stopping = new AbortController()
  const loop = async () => {
    while (!stopping.signal.aborted) {
      await step()
      await sleep(1000, undefined, { signal: stopping.signal }).catch(() => {})
    }
  }
  const running = loop()
  return {
    get faulty() {
      return until.size
    },
    get faults() {
      return broken
    },
    async stop() {
      stopping.abort()
      await running
    },
  }
}

/** Growth of the straight line through the heap's points, as a share of their mean. */
function growthRatio(points: readonly Point[]): number {
  const mean = (values: readonly number[]) =>
    values.reduce((sum, value) => sum + value, 0) / values.length
  const [x, y] = [points.map(({ minutes }) => minutes), points.map((point) => point.heapMegabytes)]
  const [meanX, meanY] = [mean(x), mean(y)]
  const covariance = mean(x.map((each, i) => (each - meanX) * ((y[i] ?? 0) - meanY)))
  const variance = mean(x.map((each) => (each - meanX) ** 2))
  const length = (x.at(-1) ?? 0) - (x[0] ?? 0)
  return ((covariance / variance) * length) / meanY
}

/**
 * Requests that failed though the device was sound: one bad device harms no other. What it does not
 * have is no failure: a 404 tells the kinds of device apart.
 */
function failuresOfSound(body: string, fleet: Fleet): number {
  const sound = new Set(
    fleet.devices.filter((_, index) => index % soundEvery === 0).map(({ xname }) => xname),
  )
  const failed =
    /^cray_device_errors_total\{xname="([^"]+)".*reason="(?!unsupported)\w+"\} (\d+)$/gm
  const lines = body.matchAll(failed)
  return [...lines].reduce(
    (sum, [, xname = '', count]) => sum + (sound.has(xname) ? Number(count) : 0),
    0,
  )
}

async function keepChart(points: readonly Point[]): Promise<void> {
  const line = (name: string, colour: string, y: (point: Point) => number) => ({
    name,
    colour,
    points: points.map((point) => ({ x: point.minutes, y: y(point) })),
  })
  const svg = chartSvg({
    title: `The exporter's memory while ${devices} devices break and are repaired at random`,
    xName: 'minutes',
    yName: 'MB; devices',
    lines: [
      line('resident, MB', '#7a7a7a', (point) => point.residentMegabytes),
      line('heap after collection, MB', '#c0392b', (point) => point.heapMegabytes),
      line('devices that answer', '#2471a3', (point) => point.up),
    ],
  })
  const folder = join(dirname(fileURLToPath(import.meta.url)), 'results')
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'soak.svg'), svg)
  await writeFile(join(folder, 'soak-points.json'), JSON.stringify(points))
}
