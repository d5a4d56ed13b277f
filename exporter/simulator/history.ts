import { setTimeout as delay } from 'node:timers/promises'
import fetch from 'node-fetch'
import { collectorFor } from '../devices/kinds.ts'
import { RedfishError } from '../redfish/error.ts'
import { errorText, type Logger } from '../service/log.ts'
import { sendSeries } from '../telemetry/forward.ts'
import type { Seconds } from './load.ts'
import type { SimulatedDevice } from './resources.ts'
import { fastSeconds, type Observed, SeriesBook } from './series-book.ts'

export interface HistoryOptions {
  devices: readonly SimulatedDevice[]
  /** Base URL of remote-write. */
  url: string
  /** Labels that the scraper would add to each series. */
  targetLabels: Readonly<Record<string, string>>
  /** Samples after this are to be sent. */
  from: Seconds
  /** Now, with all that was due by now having happened. */
  asOf: () => Seconds
  /** Called when all samples up to this instant are in the record. */
  onRecorded: (until: Seconds) => void
  signal: AbortSignal
  log: Logger
}

export interface HistoryProgress {
  state: 'waiting' | 'sending' | 'done' | 'failed' | 'off'
  sent_samples: number
  /** Of the time to be filled, from 0 to 1. */
  fraction: number
  error?: string
}

/** One request holds all samples of this long: some thousands. */
const windowSeconds = 300
const requestsInFlight = 4
const readyTimeoutSeconds = 120
const readyPauseMs = 250

/**
 * Fills the record from `from` until now: what the exporter would have read from the devices, made
 * by its own collectors, sent by remote write in order of time. `progress` is kept up to date; a
 * failure is told there and logged, not thrown.
 */
export async function fillHistory(
  options: HistoryOptions,
  progress: HistoryProgress,
): Promise<void> {
  const { devices, from, targetLabels, signal, log } = options
  try {
    await awaitReady(options)
    progress.state = 'sending'
    const observed = await Promise.all(devices.map((device) => observe(device, from)))
    await sendWindows(new SeriesBook(observed, targetLabels), options, progress)
    Object.assign(progress, { state: 'done', fraction: 1 })
    log.info({ samples: progress.sent_samples }, 'history is complete')
  } catch (error) {
    if (signal.aborted) return
    Object.assign(progress, { state: 'failed', error: errorText(error) })
    log.error({ error }, 'history not sent')
  }
}

async function awaitReady({ url, signal }: HistoryOptions): Promise<void> {
  const deadline = Date.now() + readyTimeoutSeconds * 1000
  for (;;) {
    const reason = await fetch(`${url}/-/ready`, { signal }).then(
      async (response) => (response.ok ? undefined : await response.text()),
      (error: unknown) => errorText(error),
    )
    if (reason === undefined) return
    if (Date.now() > deadline) {
      throw new Error(`${url} not ready after ${readyTimeoutSeconds} s: ${reason.trim()}`)
    }
    await delay(readyPauseMs, undefined, { signal })
  }
}

async function observe(device: SimulatedDevice, at: Seconds): Promise<Observed> {
  const get = async (path: string) => {
    const read = device.resources.get(path)
    if (!read) throw new RedfishError('unsupported', { xname: device.xname, path }, 'HTTP 404')
    return read(at)
  }
  const collector = await collectorFor(device, get)
  return { device, collector, plan: await collector.plan(get) }
}

/** Sends until the present is reached, which moves on while the past is being sent. */
async function sendWindows(
  book: SeriesBook,
  options: HistoryOptions,
  progress: HistoryProgress,
): Promise<void> {
  const { from, asOf, signal, onRecorded } = options
  const url = `${options.url}/api/v1/write`
  const flight = new Flight()
  const present = () => Math.floor(asOf() / fastSeconds) * fastSeconds
  let start = from
  for (let now = present(); start < now; now = present()) {
    const end = Math.min(start + windowSeconds, now)
    const series = book.window(start, end)
    await flight.add(start, sendSeries(url, series, { signal }))
    progress.sent_samples += series.reduce((sum, { samples }) => sum + samples.length, 0)
    start = end
    progress.fraction = (flight.doneUntil(start) - from) / (now - from)
    onRecorded(flight.doneUntil(start))
  }
  await flight.settle()
  onRecorded(start)
}

/** Requests under way, each by the instant from which on its samples are. */
class Flight {
  readonly #sends = new Map<Seconds, Promise<void>>()
  #failure: { error: unknown } | undefined

  /** Resolves when one more may be sent. @throws what one of them threw. */
  async add(from: Seconds, send: Promise<void>): Promise<void> {
    const settled = send.then(
      () => void this.#sends.delete(from),
      (error: unknown) => {
        this.#failure ??= { error }
      },
    )
    this.#sends.set(from, settled)
    while (this.#sends.size >= requestsInFlight && !this.#failure) {
      await Promise.race(this.#sends.values())
    }
    this.#throwFailure()
  }

  async settle(): Promise<void> {
    await Promise.all(this.#sends.values())
    this.#throwFailure()
  }

  /** All samples before this are accepted; `last` is the end of what was sent. */
  doneUntil(last: Seconds): Seconds {
    return this.#sends.keys().next().value ?? last
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error
  }
}
