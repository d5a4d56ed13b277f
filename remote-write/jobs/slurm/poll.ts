import { createHash, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../../../exporter/service/log.ts'
import { countNodelist } from '../nodelist.ts'
import { type Bridge, deliver } from './deliver.ts'
import { type Edge, type Followed, follow } from './follow.ts'
import { countPass } from './metrics.ts'
import { type Programs, runProgram, TooMuchOutput } from './program.ts'
import { columns, parseSacct, type ReadRun, type ReadRuns } from './sacct.ts'
import type { SlurmSettings } from './settings.ts'
import type { Told } from './spool.ts'
import {
  afterFailure,
  daySlices,
  type Memory,
  readCursor,
  windowStart,
  writeCursor,
} from './window.ts'

export interface PollOptions {
  settings: SlurmSettings['poll']
  programs: Programs
  bridge: Bridge
  log: Logger
  now: () => Date
}

/** Bounds of one request; those of remote-write are wider. */
const batch = { events: 500, nodes: 100_000, bytes: 1024 * 1024 }
/** What sacct cannot print of so short a time is too much for anybody. */
const shortestSliceMs = 60_000

/** Reads accounting again and again until the bridge's signal. */
export async function poll(options: PollOptions): Promise<void> {
  const { settings, bridge } = options
  const poller = await Poller.open(options)
  while (!bridge.signal.aborted) {
    await poller.poll()
    const waitMs = settings.everySeconds * 1000
    await sleep(waitMs, undefined, { signal: bridge.signal }).catch(() => {})
  }
}

/**
 * Tells remote-write what sacct knows of runs: all that changed since it was last told. sacct asks
 * slurmdbd, so slurmctld has no work. What cannot be told stays to be read again.
 */
export class Poller {
  readonly #options: PollOptions
  #memory: Memory
  /** Of each run that was told, what; and when sacct last had it. */
  readonly #told = new Map<string, { digest: string; seenMs: number; followed: Followed }>()
  #failures = 0

  static async open(options: PollOptions): Promise<Poller> {
    return new Poller(options, { cursor: await readCursor(options.settings.cursorFile) })
  }

  private constructor(options: PollOptions, memory: Memory) {
    this.#options = options
    this.#memory = memory
  }

  /** One reading; true when all of it was told. A failure is logged, once until it is over. */
  async poll(): Promise<boolean> {
    const { settings, log, now, bridge } = this.#options
    const started = now()
    const { from, long } = windowStart(this.#memory, settings, started)
    try {
      for (const slice of daySlices(from, started)) await this.#read(slice, started)
    } catch (error) {
      if (bridge.signal.aborted) return false
      countPass(bridge.metrics, false)
      this.#memory = afterFailure(this.#memory, now())
      if (this.#failures++ === 0) log.warn({ error }, 'accounting not told')
      return false
    }
    countPass(bridge.metrics, true)
    if (long) {
      this.#memory.rereadAt = started
      this.#forget(started)
    }
    if (this.#failures > 0) log.info({ attempts: this.#failures }, 'accounting told again')
    this.#failures = 0
    return true
  }

  async #read(slice: { from: Date; to: Date }, now: Date): Promise<void> {
    const { settings, log } = this.#options
    const toldAt = new Date(
      Math.max(now.getTime(), (this.#memory.cursor?.toldAt.getTime() ?? 0) + 1),
    )
    const { runs: read, faults } = await this.#ask(slice)
    const byCores = settings.shareBy === 'cores'
    const runs = byCores ? read.map(withoutCpuTime) : read
    if (faults.length > 0) {
      const some = faults.slice(0, 10)
      log.error({ faults: some, count: faults.length }, 'accounting that cannot be told')
    }
    await this.#tell(runs, toldAt, now)
    const reached = this.#memory.cursor?.readUntil
    const readUntil = reached && reached > slice.to && reached <= now ? reached : slice.to
    this.#memory.cursor = { readUntil, toldAt }
    await writeCursor(settings.cursorFile, this.#memory.cursor).catch((error: unknown) => {
      log.error({ error }, 'cursor not kept: a restart reads again from the last one')
    })
  }

  /** What sacct has of a stretch of time, asked in halves where it is too much at once. */
  async #ask({ from, to }: { from: Date; to: Date }): Promise<ReadRuns> {
    const { programs, settings } = this.#options
    const delimiter = `\x1f${randomBytes(6).toString('hex')}\x1f`
    const args = [
      ...['-a', '-D', '-n', '-p', `--delimiter=${delimiter}`, `--format=${columns.join()}`],
      // It also has what began before; the end of what is not over yet comes with a later reading.
      ...['-S', slurmTime(from), '-E', slurmTime(new Date(to.getTime() + 1000))],
      ...(settings.clusters.length > 0 ? ['-M', settings.clusters.join()] : []),
    ]
    try {
      return parseSacct(await runProgram('sacct', args, programs), delimiter)
    } catch (error) {
      const halfMs = Math.ceil((to.getTime() - from.getTime()) / 2)
      if (!(error instanceof TooMuchOutput) || halfMs < shortestSliceMs) throw error
      const middle = new Date(from.getTime() + halfMs)
      const halves = [await this.#ask({ from, to: middle }), await this.#ask({ from: middle, to })]
      const [runs, faults] = [halves.flatMap((h) => h.runs), halves.flatMap((h) => h.faults)]
      return { runs, faults }
    }
  }

  async #tell(runs: readonly ReadRun[], toldAt: Date, now: Date): Promise<void> {
    const { bridge, log } = this.#options
    const seenMs = now.getTime()
    const looks = runs.map(({ run, look }) => {
      const before = this.#told.get(keyOf(run))
      const { edges, followed } = follow(before?.followed, look)
      const digest = digestOf(run)
      const changed = digest === before?.digest ? [] : [{ ...run, told_at: toldAt }]
      const events: Told[] = [...changed, ...edges.map((edge) => edgeOf(run, edge))]
      return { key: keyOf(run), events, memory: { digest, seenMs, followed } }
    })
    for (const part of batches(looks.flatMap(({ events }) => events))) {
      const refused = await deliver(part, bridge)
      for (const { event, fault } of refused) {
        log.error({ cluster: event.cluster, job_id: event.job_id, fault }, 'run refused')
      }
    }
    for (const { key, memory } of looks) this.#told.set(key, memory)
  }

  /** What no long reading has any more. */
  #forget(now: Date): void {
    const oldestMs = now.getTime() - 2 * 60 * 60 * 1000
    for (const [key, { seenMs }] of this.#told) if (seenMs < oldestMs) this.#told.delete(key)
  }
}

/** sacct takes local times, and `TZ` is UTC. */
function slurmTime(time: Date): string {
  return time.toISOString().slice(0, 19)
}

function withoutCpuTime({ run: { cpu_seconds, ...run }, look }: ReadRun): ReadRun {
  return { run, look }
}

function edgeOf({ cluster, job_id }: Told, { type, at }: Edge): Told {
  return { type, cluster, job_id, time: new Date(at * 1000) }
}

function keyOf({ cluster, job_id, db_index, time }: Told): string {
  return `${cluster} ${job_id} ${db_index ?? time}`
}

function digestOf(run: Told): string {
  return createHash('sha256').update(JSON.stringify(run)).digest('base64')
}

function batches<T extends object>(events: readonly T[]): T[][] {
  const parts: T[][] = []
  let size = { events: 0, nodes: 0, bytes: 0 }
  for (const event of events) {
    const nodes = nodesOf(event)
    const bytes = JSON.stringify(event).length
    const next = {
      events: size.events + 1,
      nodes: size.nodes + nodes,
      bytes: size.bytes + bytes,
    }
    const full = next.events > batch.events || next.nodes > batch.nodes || next.bytes > batch.bytes
    if (full || parts.length === 0) {
      parts.push([event])
      size = { events: 1, nodes, bytes }
    } else {
      parts.at(-1)?.push(event)
      size = next
    }
  }
  return parts
}

function nodesOf(event: object): number {
  try {
    return 'nodelist' in event ? countNodelist(String(event.nodelist)) : 0
  } catch {
    // Remote-write will say what is wrong with it.
    return 0
  }
}
