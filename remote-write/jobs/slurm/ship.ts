import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Gauge } from 'prom-client'
import { replaceFile } from '../../../exporter/service/directory.ts'
import type { Logger } from '../../../exporter/service/log.ts'
import { type Bridge, deliver, type Refused } from './deliver.ts'
import type { GresReader } from './gres.ts'
import { countPass } from './metrics.ts'
import { lacksHeld, parseSpoolFile, type Told, withHeld } from './spool.ts'

export interface ShipOptions {
  directory: string
  bridge: Bridge
  log: Logger
  /** Who knows which accelerators a job got; without it nobody is asked. */
  gres?: GresReader | undefined
  /** How many files wait. */
  waiting?: Gauge | undefined
}

/** A file of the hook, and what it tells. */
interface EventFile {
  name: string
  bytes: Buffer
  event: Told
}

/** Files in one request; their nodes may be some thousand each. */
const batchSize = 200
const pauseMs = 500
const longestWaitMs = 30_000
/** Where files go that can never be delivered. */
export const asideFolder = 'aside'

/**
 * Delivers what the hook wrote until the bridge's signal, oldest first, and deletes each file after
 * remote-write has it. While remote-write is away they wait. A file that can never be delivered is
 * moved to `aside/`, and said so.
 */
export async function ship(options: ShipOptions): Promise<void> {
  const { bridge, log } = options
  const shipper = new Shipper(options)
  let failures = 0
  while (!bridge.signal.aborted) {
    const error = await shipper.pass().then(
      () => undefined,
      (reason: unknown) => reason,
    )
    if (bridge.signal.aborted) return
    countPass(bridge.metrics, error === undefined)
    if (error !== undefined) failures++
    if (failures === 1 && error !== undefined) log.warn({ error }, 'events wait')
    if (error === undefined && failures > 0) log.info({ attempts: failures }, 'events go on')
    if (error === undefined) failures = 0
    const waitMs = Math.min(pauseMs * 2 ** failures, longestWaitMs)
    await sleep(waitMs, undefined, { signal: bridge.signal }).catch(() => {})
  }
}

class Shipper {
  readonly #options: ShipOptions
  /** Delivered, but still there. */
  readonly #undeleted = new Set<string>()

  constructor(options: ShipOptions) {
    this.#options = options
  }

  /** Delivers all that is there now. @throws {Error} when something has to wait. */
  async pass(): Promise<void> {
    const { directory, bridge, waiting } = this.#options
    const names = (await readdir(directory)).filter(isEventFile).sort()
    waiting?.set(names.length)
    this.#forgetAllBut(names)
    const fresh = names.filter((name) => !this.#undeleted.has(name))
    for (let i = 0; i < fresh.length && !bridge.signal.aborted; i += batchSize) {
      await this.#deliver(fresh.slice(i, i + batchSize))
    }
    // At most one try for each pass, and none of them is told again.
    for (const name of this.#undeleted) await this.#delete(name)
  }

  async #deliver(names: readonly string[]): Promise<void> {
    const read = await Promise.all(names.map((name) => this.#read(name)))
    const files = read.filter((file) => file !== undefined)
    const outcome = await deliver(
      files.map(({ event }) => event),
      this.#options.bridge,
    ).catch((error: unknown) => ({ error }))
    // Once a job is over slurmctld has forgotten what it had, so it is asked even while
    // remote-write is away; the start itself does not wait for the answer.
    const more = await this.#askAccelerators(files)
    if (!Array.isArray(outcome)) throw outcome.error
    await deliver(more, this.#options.bridge)
    await this.#finish(files, outcome)
  }

  /** Keeps what slurmctld says of runs that start in their files; the starts that say more then. */
  async #askAccelerators(files: readonly EventFile[]): Promise<Told[]> {
    const { gres, directory } = this.#options
    const starts = files.filter(({ event, bytes }) => event.type === 'start' && lacksHeld(bytes))
    const found = await gres?.ofRuns(starts.map(({ event }) => event))
    const more: Told[] = []
    for (const { name, bytes, event } of starts) {
      const held = found?.get(event)
      if (held === undefined) continue
      // Where that fails slurmctld is asked again.
      await replaceFile(join(directory, name), withHeld(bytes, held)).catch(() => {})
      if (held !== null) more.push({ ...event, accelerators: held })
    }
    return more
  }

  async #finish(files: readonly EventFile[], refused: readonly Refused<Told>[]): Promise<void> {
    const faults = new Map(refused.map(({ event, fault }) => [event, fault]))
    for (const { event, name } of files) {
      const fault = faults.get(event)
      if (fault === undefined) await this.#delete(name)
      else await this.#setAside(name, fault)
    }
  }

  async #read(name: string): Promise<EventFile | undefined> {
    const bytes = await readFile(join(this.#options.directory, name)).catch(
      async (error: NodeJS.ErrnoException) => {
        // Another shipper was quicker, or the file is not for us: the others go on.
        if (error.code !== 'ENOENT') await this.#setAside(name, error.message)
        return undefined
      },
    )
    if (bytes === undefined) return undefined
    try {
      return { name, bytes, event: parseSpoolFile(bytes) }
    } catch (error) {
      await this.#setAside(name, (error as Error).message)
      return undefined
    }
  }

  async #delete(name: string): Promise<void> {
    const { directory, log } = this.#options
    const error = await rm(join(directory, name), { force: true }).catch((reason) => reason)
    if (error === undefined) this.#undeleted.delete(name)
    else if (!this.#undeleted.has(name)) {
      this.#undeleted.add(name)
      log.error({ file: join(directory, name), error }, 'delivered file cannot be deleted')
    }
  }

  async #setAside(name: string, fault: string): Promise<void> {
    const { directory, log } = this.#options
    const file = join(directory, name)
    const aside = join(directory, asideFolder)
    await mkdir(aside, { recursive: true, mode: 0o700 }).catch(() => {})
    const error = await rename(file, join(aside, name)).catch((reason: unknown) => reason)
    log.error({ file, fault, ...(error !== undefined && { error }) }, 'event file set aside')
    if (error !== undefined) this.#undeleted.add(name)
  }

  #forgetAllBut(names: readonly string[]): void {
    const there = new Set(names)
    for (const name of this.#undeleted) if (!there.has(name)) this.#undeleted.delete(name)
  }
}

/** `<ns>-<context>-<job>-<pid>`; while it is written its name begins with a dot. */
export function isEventFile(name: string): boolean {
  return /^\d+-[^.]*$/.test(name)
}
