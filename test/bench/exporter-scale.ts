import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import { type Fleet, startFleet } from './exporter-fleet.ts'
import {
  type ExporterProcess,
  type Scraper,
  startExporterProcess,
  startScraper,
} from './exporter-process.ts'
import { quantile } from './figures.ts'

export const name = 'exporter-scale'
export const title = '2,000 devices over TLS, power and energy every 10 s, 5 % of them hanging'

export const goals = [
  { key: 'p99_ms', most: 50, words: '2,000 devices: p99 of /metrics each second, ms' },
  { key: 'missed_polls', most: 0, words: '2,000 devices: polls missed' },
]

const devices = 2000
/** As the README has it for systems of this size: less that lives for a poll alone grows old. */
const nodeOptions = ['--max-semi-space-size=64']
const hangEvery = 20
const paceSeconds = 10
/** One scrape each: of so many the second slowest is the 99th of a hundred. */
const measuredSeconds = 200
/** Until every device has been looked at and read in full. */
const mostWarmUpSeconds = 150

/**
 * All on this machine: the devices in one process, the exporter in another, and the scraper here.
 * The hanging devices answer until all are known, and then hang for the whole of the measurement. A
 * poll is missed where a sound device's `cray_device_last_success_timestamp_seconds` stands still
 * for more than one and a half paces, one for each pace.
 */
export async function run(): Promise<Record<string, number>> {
  const fleet = await startFleet({ devices })
  try {
    const pdus = { jaws: { fastSeconds: paceSeconds } }
    const poll = { fastSeconds: paceSeconds, slowSeconds: 300, kinds: pdus }
    const exporter = await startExporterProcess({ fleet, poll, nodeOptions })
    const scraper = startScraper(exporter.url, { 'accept-encoding': 'gzip' })
    const prober = startScraper(exporter.url, {})
    try {
      const warmUp = await warmedUp(fleet, scraper)
      const hanging = fleet.devices.flatMap((_, index) => (index % hangEvery === 0 ? [index] : []))
      await fleet.setFaults(hanging.map((index) => ({ index, fault: 'hang' })))
      return { ...(await measure({ fleet, exporter, scraper, prober })), ...warmUp }
    } finally {
      scraper.close()
      prober.close()
      await exporter.close()
    }
  } finally {
    fleet.close()
  }
}

interface Measured {
  fleet: Fleet
  exporter: ExporterProcess
  scraper: Scraper
  prober: Scraper
}

async function measure({ fleet, exporter, scraper, prober }: Measured) {
  const sound = new Set(
    fleet.devices.filter((_, index) => index % hangEvery !== 0).map(({ xname }) => xname),
  )
  const successes = new Successes(sound)
  const before = await countersOf(fleet, exporter)
  const began = performance.now()
  const scrapes: number[] = []
  const pages: number[] = []
  let body: Buffer = Buffer.alloc(0)
  for (let second = 0; second < measuredSeconds; second++) {
    await sleep(Math.max(0, began + second * 1000 - performance.now()))
    const scrape = scraper.scrape()
    // In the middle of a scrape, and for the rest of the second.
    const stop = performance.now() + 800
    while (performance.now() < stop) {
      pages.push((await prober.scrape('/-/healthy')).milliseconds)
      await sleep(50)
    }
    const { milliseconds, body: fresh } = await scrape
    scrapes.push(milliseconds)
    body = fresh
    // Twice in a pace sees each success.
    if (second % (paceSeconds / 2) === 0) successes.note(gunzipSync(body).toString('latin1'))
  }
  const after = await countersOf(fleet, exporter)
  const seconds = (performance.now() - began) / 1000
  const text = gunzipSync(body).toString('latin1')
  successes.note(text)
  const series = text.split('\n').filter((line) => line.startsWith('cray_')).length
  const cpu = after.cpu - before.cpu
  const [ascending, pagesAscending] = [scrapes, pages].map((each) => each.sort((a, b) => a - b))
  const megabytes = await exporter.residentMegabytes()
  return {
    p99_ms: quantile(ascending ?? [], 0.99),
    missed_polls: successes.missed(),
    p50_ms: quantile(ascending ?? [], 0.5),
    other_requests_p99_ms: quantile(pagesAscending ?? [], 0.99),
    other_requests_worst_ms: quantile(pagesAscending ?? [], 1),
    polls: successes.polls,
    longest_pause_seconds: successes.longestPauseSeconds,
    series,
    requests_per_second: (after.requests - before.requests) / seconds,
    cores: cpu / seconds,
    simulator_cores: (after.fleetCpu - before.fleetCpu) / seconds,
    cpu_microseconds_per_request: (cpu / (after.requests - before.requests)) * 1e6,
    cpu_microseconds_per_reading_and_pace: ((cpu / seconds) * paceSeconds * 1e6) / series,
    resident_megabytes: megabytes,
    resident_bytes_per_reading: (megabytes * 1e6) / series,
    scrape_megabytes: body.length / 1e6,
  }
}

async function countersOf(fleet: Fleet, exporter: ExporterProcess) {
  const [cpu, fleetCpu, requests] = await Promise.all([
    exporter.cpuSeconds(),
    fleet.cpuSeconds(),
    fleet.requests(),
  ])
  return { cpu, fleetCpu, requests }
}

/** Waits until all devices are up and nothing but the polls of each pace is asked any more. */
async function warmedUp(fleet: Fleet, scraper: Scraper) {
  const began = performance.now()
  const seconds = () => (performance.now() - began) / 1000
  let [requests, calm] = [0, 0]
  while (calm < 2) {
    if (seconds() > mostWarmUpSeconds) throw new Error('the devices were not read in time')
    await sleep(5000)
    const now = await fleet.requests()
    const perSecond = (now - requests) / 5
    requests = now
    const text = gunzipSync((await scraper.scrape()).body).toString('latin1')
    const up = [...text.matchAll(/^cray_device_up\{[^}]*\} 1$/gm)].length
    calm = up === fleet.devices.length && perSecond < mostCalmRequests ? calm + 1 : 0
  }
  return { warm_up_seconds: seconds(), warm_up_requests: requests }
}

/** What 2,000 devices are asked a second when all is known: 8 or 9 at each pace, and the rest. */
const mostCalmRequests = 2600

/** When each device was last polled with success, as the exporter's own metric tells. */
class Successes {
  polls = 0
  longestPauseSeconds = 0
  readonly #sound: ReadonlySet<string>
  readonly #last = new Map<string, number>()
  #missed = 0

  constructor(sound: ReadonlySet<string>) {
    this.#sound = sound
  }

  note(text: string): void {
    const lines = text.matchAll(
      /^cray_device_last_success_timestamp_seconds\{xname="([^"]+)"[^}]*\} (\S+)$/gm,
    )
    for (const [, xname = '', value] of lines) {
      if (this.#sound.has(xname)) this.#noteOne(xname, Number(value))
    }
  }

  /** Up to now; a device that was never heard of again has missed the polls since. */
  missed(): number {
    const now = Date.now() / 1000
    return [...this.#last.values()].reduce(
      (sum, at) => sum + missedIn(now - at),
      this.#missed + (this.#sound.size - this.#last.size),
    )
  }

  #noteOne(xname: string, at: number): void {
    const before = this.#last.get(xname)
    this.#last.set(xname, at)
    if (before === undefined || at === before) return
    this.polls++
    this.longestPauseSeconds = Math.max(this.longestPauseSeconds, at - before)
    this.#missed += missedIn(at - before)
  }
}

/** Half a pace is allowed for the time that a poll takes. */
function missedIn(seconds: number): number {
  return Math.max(0, Math.round(seconds / paceSeconds) - 1)
}
