import { setTimeout as sleep } from 'node:timers/promises'
import { startFleet } from './exporter-fleet.ts'
import { startExporterProcess, startScraper } from './exporter-process.ts'

export const name = 'exporter-controller'
export const title = 'One controller of 737 sensors, 0.1 s a GET, one at a time: how fresh is power'

export const goals = [
  {
    key: 'longest_pause_seconds',
    most: 11,
    words: '737 sensors: node power and energy read again after, s',
  },
]

const getSeconds = 0.1
const measuredSeconds = 120
/** Of the controller in all. */
const sensors = 737

/**
 * How old power and energy of its four nodes get, by the controller's own time stamps, while the
 * rest of its sensors is read for the first time. A pause is the time from one reading of a sensor
 * to the next that is shown.
 */
export async function run(): Promise<Record<string, number>> {
  const fleet = await startFleet({ devices: 1, controllerSeconds: getSeconds })
  try {
    const exporter = await startExporterProcess({
      fleet,
      poll: { fastSeconds: 10, slowSeconds: 300 },
    })
    const scraper = startScraper(exporter.url, {})
    try {
      const seen = new Readings()
      const began = performance.now()
      for (let second = 0; second < measuredSeconds; second++) {
        await sleep(Math.max(0, began + second * 1000 - performance.now()))
        seen.note((await scraper.scrape()).body.toString(), (performance.now() - began) / 1000)
      }
      const { longestPauseSeconds, oldestSeconds, watched, allAfterSeconds } = seen
      return {
        longest_pause_seconds: watched === 8 ? longestPauseSeconds : Number.POSITIVE_INFINITY,
        oldest_seconds: oldestSeconds,
        watched_sensors: watched,
        full_pass_seconds: allAfterSeconds,
        least_full_pass_seconds: sensors * getSeconds,
        requests_per_second: (await fleet.requests()) / measuredSeconds,
      }
    } finally {
      scraper.close()
      await exporter.close()
    }
  } finally {
    fleet.close()
  }
}

/** When the sensors of the nodes' power and energy were read, and how many others are shown. */
class Readings {
  longestPauseSeconds = 0
  oldestSeconds = 0
  /** Until all sensors were shown; NaN until then. */
  allAfterSeconds = Number.NaN
  readonly #last = new Map<string, number>()

  get watched(): number {
    return this.#last.size
  }

  note(text: string, afterSeconds: number): void {
    const stamps = text.matchAll(/^(cray_sensor_reading_timestamp_seconds\{[^}]*\}) (\S+)$/gm)
    for (const [, series = '', value] of stamps) {
      const at = Number(value)
      const before = this.#last.get(series)
      this.#last.set(series, at)
      this.oldestSeconds = Math.max(this.oldestSeconds, Date.now() / 1000 - at)
      if (before !== undefined) {
        this.longestPauseSeconds = Math.max(this.longestPauseSeconds, at - before)
      }
    }
    const shown = text.match(/^cray_(sensor|node|domain)_(?!reading)\w+\{/gm)?.length ?? 0
    if (shown >= sensors && Number.isNaN(this.allAfterSeconds)) this.allAfterSeconds = afterSeconds
  }
}
