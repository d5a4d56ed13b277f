import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { pmReadings } from '../devices/pm-counters.ts'
import { parentXname } from '../inventory/xname.ts'
import type { Reading } from '../metrics.ts'
import type { Logger } from '../service/log.ts'

export interface PmCounters {
  /** As of the last read, the same array until the next; of a stalled source only its status. */
  readings(): readonly Reading[]
  close(): Promise<void>
}

export interface PmCountersOptions {
  directory: string
  /** The node's xname. */
  xname: string
  paceSeconds: number
  log: Logger
}

/** Reads the in-band counters of this node at a steady pace. */
export function startPmCounters(options: PmCountersOptions): PmCounters {
  const source = new Source(options)
  const closing = new AbortController()
  const { signal } = closing
  const keepReading = async () => {
    while (!signal.aborted) {
      await source.read()
      await delay(pauseMs(options.paceSeconds), undefined, { signal }).catch(() => {})
    }
  }
  const running = keepReading()
  return {
    readings: () => source.readings,
    async close() {
      closing.abort()
      await running
    },
  }
}

class Source {
  readings: readonly Reading[] = []
  readonly #options: PmCountersOptions
  #freshness: string | undefined
  #wasUp = true

  constructor(options: PmCountersOptions) {
    this.#options = options
  }

  /** Counters that do not move since the last time are stalled: they are not shown. */
  async read(): Promise<void> {
    const { xname, directory, log } = this.#options
    const files = await readOneUpdate(directory)
    const freshness = files?.get('freshness')
    const up = freshness !== undefined && freshness !== this.#freshness
    if (this.#wasUp && !up) log.warn({ xname, directory }, 'in-band counters stalled')
    if (up && !this.#wasUp) log.info({ xname, directory }, 'in-band counters move')
    this.#wasUp = up
    this.#freshness = freshness
    const labels = { xname, bmc: parentXname(xname) ?? xname }
    const status: Reading = { metric: 'cray_device_up', labels, value: Number(up) }
    this.readings = up && files ? [...pmReadings(xname, files), status] : [status]
  }
}

/** Sooner than a second later, an unchanged `freshness` does not tell a stalled source. */
function pauseMs(paceSeconds: number): number {
  return Math.max(paceSeconds, 1) * 1000
}

/** Updates come ten times a second; reading all files takes about a millisecond. */
const mostTries = 10

/**
 * All files of one update: `freshness` must be the same before and after, else they are read again.
 * Undefined when it never was, or there is none.
 */
async function readOneUpdate(directory: string): Promise<Map<string, string> | undefined> {
  for (let tries = 0; tries < mostTries; tries++) {
    const before = await readCounter(directory, 'freshness')
    if (!before) continue
    const files = await readAll(directory)
    files.set('freshness', before)
    if ((await readCounter(directory, 'freshness')) === before) return files
  }
  return undefined
}

async function readAll(directory: string): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  const names = await readdir(directory).catch(() => [])
  for (const name of names.slice(0, mostFiles)) {
    const text = await readCounter(directory, name)
    if (text !== undefined) found.set(name, text)
  }
  return found
}

/** A node with four accelerators has 25. */
const mostFiles = 200

/** Text of one file; the kernel answers EAGAIN while it updates them. */
async function readCounter(directory: string, name: string): Promise<string | undefined> {
  for (let tries = 0; tries < mostTries; tries++) {
    try {
      return await readFile(join(directory, name), 'utf8')
    } catch (error) {
      if (!isBusy(error)) return undefined
    }
  }
  return undefined
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN'
}
