import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** `joulebridge` as a user runs it: what it printed so far, and how it ended. */
export interface RunningCommand {
  process: ChildProcess
  stdout(): string
  stderr(): string
  /** Resolves to the first match in stdout; rejects with all output when it ends before. */
  shows(pattern: RegExp, seconds: number): Promise<RegExpExecArray>
  /** The exit code. */
  ended: Promise<number | null>
  /** Ctrl-C, and the exit code. */
  interrupt(): Promise<number | null>
}

export function runCommand(...args: string[]): RunningCommand {
  const child = spawn(process.execPath, ['--import', 'tsx', 'joulebridge.ts', ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      output[stream] += text
    })
  }
  const ended = once(child, 'close').then(([code]) => code as number | null)
  return {
    process: child,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    ended,
    shows: (pattern, seconds) => {
      const said = () => pattern.exec(output.stdout)
      const describe = () => `${pattern} not shown:\n${output.stdout}${output.stderr}`
      const over = () => child.exitCode !== null || child.signalCode !== null
      return until(said, seconds, describe, over)
    },
    interrupt: async () => {
      child.kill('SIGINT')
      return await ended
    },
  }
}

/** Waits until `look` finds something. @throws {Error} after `seconds`, or when `over`. */
export async function until<T>(
  look: () => T | null | undefined | Promise<T | null | undefined>,
  seconds: number,
  describe: () => string = () => 'the condition did not come true',
  over: () => boolean = () => false,
): Promise<T> {
  for (const deadline = Date.now() + seconds * 1000; ; await sleep(50)) {
    const last = over() || Date.now() > deadline
    const found = await look()
    if (found !== null && found !== undefined) return found
    if (last) throw new Error(describe())
  }
}

/** The first of 200 ports of loopback of which those we use most are free. */
export async function freePortBase(): Promise<number> {
  for (let base = 20_000; base < 28_000; base += 200) {
    const offsets = [7, 10, 11, 32, 90, 99, 100, 101]
    const free = await Promise.all(offsets.map((offset) => isFree(base + offset)))
    if (free.every(Boolean)) return base
  }
  throw new Error('no free ports between 20000 and 28000')
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer()
  probe.listen(port, '127.0.0.1')
  const free = await once(probe, 'listening').then(
    () => true,
    () => false,
  )
  await new Promise((resolve) => probe.close(resolve))
  return free
}
