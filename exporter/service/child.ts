import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:fs'
import { access, type FileHandle, open, readFile, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fetch from 'node-fetch'

export interface ChildOptions {
  name: string
  command: string
  args: readonly string[]
  env: NodeJS.ProcessEnv
  /** Where its output goes, appended. */
  logFile: string
  /** Answers 2xx once the service can serve. */
  readyUrl: string
  /** Gives up waiting for that. */
  signal: AbortSignal
}

/** A service in a process of its own. */
export interface Child {
  name: string
  /** Resolves when it has ended, asked or not, to its last words. */
  ended: Promise<string>
  /** Asks it to end, and after `graceSeconds` makes it. */
  stop(graceSeconds?: number): Promise<void>
}

/**
 * Starts a process and waits until it is ready. Its group is its own, so that Ctrl-C reaches only
 * the parent, which stops its children in order; the pipe between them tells it when we died. One
 * that a killed parent left behind is stopped first.
 * @throws {Error} naming the service and its last words, when it ends first or takes over 60 s.
 */
export async function startChild(options: ChildOptions): Promise<Child> {
  const { name, command, args, env, logFile, readyUrl, signal } = options
  await stopLeftover(`${logFile}.pid`, args)
  const log = await open(logFile, 'a', 0o600)
  const child = await spawnInto(log, command, args, env).finally(() => log.close())
  await writeFile(`${logFile}.pid`, String(child.pid), { mode: 0o600 })
  const stop = (graceSeconds = 15) => stopProcess(child, graceSeconds)
  try {
    await waitReady(readyUrl, () => running(child) && !signal.aborted)
  } catch (cause) {
    await stop(1)
    throw new Error(`${name}: ${(await lastWords(logFile)) ?? 'did not start'}`, { cause })
  }
  const ended = once(child, 'exit').then(async () => (await lastWords(logFile)) ?? 'no word')
  return { name, ended, stop }
}

async function stopLeftover(pidFile: string, args: readonly string[]): Promise<void> {
  const pid = Number(await readFile(pidFile, 'utf8').catch(() => '0'))
  const command = () => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  const same = async () => pid > 0 && (await command()).includes(args.join('\0'))
  if (await same()) process.kill(pid, 'SIGTERM')
  for (let tries = 0; tries < 100 && (await same()); tries++) await sleep(100)
}

async function spawnInto(
  log: FileHandle,
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<ChildProcess> {
  const child = spawn(command, args, {
    detached: true,
    env,
    stdio: ['ignore', log.fd, log.fd, 'ipc'],
  })
  await once(child, 'spawn')
  return child
}

function running(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}

async function waitReady(url: string, alive: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await sleep(100)) {
    if (!alive()) throw new Error('it ended')
    const signal = AbortSignal.timeout(2000)
    const answer = await fetch(url, { signal }).catch(() => undefined)
    if (answer?.ok && alive()) return
  }
  throw new Error(`${url}: not ready within 60 s`)
}

async function stopProcess(child: ChildProcess, graceSeconds: number): Promise<void> {
  if (!running(child)) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const force = setTimeout(() => child.kill('SIGKILL'), graceSeconds * 1000)
  await exited
  clearTimeout(force)
}

/** The last line that a service wrote, or the message in it where it is a JSON record. */
async function lastWords(logFile: string): Promise<string | undefined> {
  const text = await readFile(logFile, 'utf8').catch(() => '')
  const line = text.trimEnd().split('\n').at(-1)
  const record = /^\{.*"message":/.test(line ?? '') ? JSON.parse(line ?? '') : undefined
  return record ? [record.message, record.error].filter(Boolean).join(': ') : line || undefined
}

/** The full path of a program, as a shell would find it. */
export async function findProgram(
  name: string,
  env: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  for (const folder of (env['PATH'] ?? '').split(delimiter)) {
    const program = join(folder, name)
    if (folder !== '' && (await isProgram(program))) return program
  }
  return undefined
}

async function isProgram(path: string): Promise<boolean> {
  return await access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}
