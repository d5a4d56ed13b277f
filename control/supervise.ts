import { mkdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import envPaths from 'env-paths'
import { type Child, startChild } from '../exporter/service/child.ts'
import { claimDirectory } from '../exporter/service/directory.ts'
import { errorText } from '../exporter/service/log.ts'

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
  say(`joulebridge ${version}, data in ${directory}`)
  try {
    const ended = new Promise<void>((end, fail) => {
      signal.addEventListener('abort', () => end())
      const site = { directory, say, signal, parts, fail }
      mkdir(join(directory, 'logs'), { recursive: true })
        .then(() => bringUp(site))
        .catch((error) => (signal.aborted ? end() : fail(error)))
    })
    await ended
    say('stopping')
  } finally {
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
    readyUrl: `http://${address}/-/ready`,
  })
  return `ready on ${address}`
}

/** Starts a process, and again whenever it ends unasked; thrice within a minute is a failure. */
export async function supervise(site: Site, wanted: SupervisedProcess): Promise<void> {
  const options = {
    ...wanted,
    env: { ...process.env, ...wanted.env },
    logFile: join(site.directory, 'logs', `${wanted.name}.log`),
    signal: site.signal,
  }
  const state = { child: await startChild(options), closing: false }
  site.parts.push({
    close: async () => {
      state.closing = true
      await state.child.stop()
    },
  })
  keepRunning(site, state, () => startChild(options)).catch(site.fail)
}

async function keepRunning(
  site: Site,
  state: { child: Child; closing: boolean },
  startAgain: () => Promise<Child>,
): Promise<void> {
  const ends: number[] = []
  for (;;) {
    const words = await state.child.ended
    if (state.closing || site.signal.aborted) return
    ends.push(Date.now())
    const recent = ends.filter((at) => Date.now() - at < 60_000)
    if (recent.length >= 3) throw new Error(`${state.child.name} ended three times: ${words}`)
    site.say(`${state.child.name} ended (${words}); starting it again`)
    await sleep(1000)
    if (state.closing) return
    state.child = await startAgain().catch((error) => {
      throw new Error(`cannot be started again: ${errorText(error)}`, { cause: error })
    })
  }
}
