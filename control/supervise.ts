import { mkdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import envPaths from 'env-paths'
import { startChild } from '../exporter/service/child.ts'
import { claimDirectory } from '../exporter/service/directory.ts'
import { localUrl } from '../exporter/service/http.ts'
import { watchDisk } from './disk.ts'

/** What one `joulebridge start` is given. */
export interface StartContext {
  /** Where all its files are kept; undefined: the platform's place for a user's data. */
  directory: string | undefined
  version: string
  say(line: string): void
  /** Asks it to end. */
  signal: AbortSignal
}

/** What one `joulebridge start` has brought up, in that order. */
export interface Site {
  directory: string
  say(line: string): void
  /** Aborted when all is to end, asked or not. */
  signal: AbortSignal
  parts: { close(): Promise<void> }[]
  /** Ends everything, because a part is lost for good. */
  fail(error: Error): void
}

/**
 * Claims the data directory, runs `bringUp`, waits for the signal, and takes everything down in
 * reverse order, also when something fails on the way.
 */
export async function runSite(
  context: StartContext,
  bringUp: (site: Site) => Promise<void>,
): Promise<void> {
  const { say, signal, version } = context
  const directory = resolve(context.directory ?? defaultDirectory())
  const claim = await claimDirectory(directory)
  const parts: Site['parts'] = [{ close: () => claim.release() }]
  const stopping = new AbortController()
  let up: Promise<unknown> = Promise.resolve()
  say(`joulebridge ${version}, data in ${directory}`)
  try {
    const ended = new Promise<void>((end, fail) => {
      signal.addEventListener('abort', () => end())
      const site = { directory, say, signal: stopping.signal, parts, fail }
      watchDisk(directory, site).catch((error) => !site.signal.aborted && fail(error))
      up = mkdir(join(directory, 'logs'), { recursive: true }).then(() => bringUp(site))
      up.catch((error) => (signal.aborted ? end() : fail(error)))
    })
    await ended
    say('stopping')
  } finally {
    stopping.abort()
    // What was just being started joins the parts first.
    await up.catch(() => {})
    while (parts.length > 0) await parts.pop()?.close()
  }
}

/**
 * The user's data folder by the platform's convention; for root on Linux the system's, since the
 * user that runs PostgreSQL for root could not reach root's own.
 */
function defaultDirectory(): string {
  const root = process.platform === 'linux' && process.getuid?.() === 0
  return root && homedir() === '/root'
    ? '/var/lib/joulebridge'
    : envPaths('joulebridge', { suffix: '' }).data
}

export interface SupervisedProcess {
  name: string
  command: string
  args: readonly string[]
  readyUrl: string
  env?: NodeJS.ProcessEnv
}

/** Runs `joulebridge NAME` in a process of its own, the way we were started ourselves. */
export async function superviseService(
  site: Site,
  { name, settingsFile, address }: { name: string; settingsFile: string; address: string },
): Promise<string> {
  const [program = 'joulebridge'] = process.argv.slice(1)
  await supervise(site, {
    name,
    command: process.execPath,
    args: [...process.execArgv, program, name, '--config.file', settingsFile],
    readyUrl: `${localUrl(address)}/-/ready`,
  })
  return `ready on ${address}`
}

/** Starts a process and keeps it running. */
export async function supervise(site: Site, wanted: SupervisedProcess): Promise<void> {
  const options = {
    ...wanted,
    env: { ...process.env, ...wanted.env },
    logFile: join(site.directory, 'logs', `${wanted.name}.log`),
    signal: site.signal,
  }
  await keepRunning(site, wanted.name, () => startChild(options))
}

/** A part that may end by itself. */
export interface Running {
  /** Resolves when it has ended, asked or not, to how. */
  ended: Promise<string>
  stop(): Promise<void>
}

/**
 * Starts a part, and again whenever it ends unasked; thrice within a minute, or a start that fails,
 * is a failure of the site.
 */
export async function keepRunning(
  site: Site,
  name: string,
  start: () => Promise<Running>,
): Promise<void> {
  const part = { current: start(), closing: false }
  await part.current
  site.parts.push({
    close: async () => {
      part.closing = true
      const last = await part.current.catch(() => undefined)
      await last?.stop()
    },
  })
  restartWhenEnded(site, name, part, start).catch(site.fail)
}

async function restartWhenEnded(
  site: Site,
  name: string,
  part: { current: Promise<Running>; closing: boolean },
  start: () => Promise<Running>,
): Promise<void> {
  const ends: number[] = []
  for (;;) {
    const how = await (await part.current).ended
    if (part.closing || site.signal.aborted) return
    ends.push(Date.now())
    const recent = ends.filter((at) => Date.now() - at < 60_000)
    if (recent.length >= 3) throw new Error(`${name} ended three times within a minute: ${how}`)
    site.say(`${name} ended (${how}); starting it again`)
    await sleep(1000)
    if (part.closing) return
    part.current = start()
    await part.current
    site.say(`${name} is ready again`)
  }
}
