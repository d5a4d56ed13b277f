import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:fs'
import {
  access,
  copyFile,
  type FileHandle,
  open,
  readFile,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fetch from 'node-fetch'

export interface ChildOptions {
  name: string
  command: string
  args: readonly string[]
  env: NodeJS.ProcessEnv
  /** Where its output goes, appended; kept short. */
  logFile: string
  /** Answers 2xx once the service can serve. */
  readyUrl: string
  /** Gives up waiting for that. */
  signal: AbortSignal
}

/** A service in a process of its own. */
export interface Child {
  name: string
  /** Resolves when it has ended, asked or not, to how: `killed by SIGKILL`, `exit code 1: ...`. */
  ended: Promise<string>
  /** Asks it to end, and after `graceSeconds` makes it. */
  stop(graceSeconds?: number): Promise<void>
}

/**
 * Starts a process and waits until it is ready. Its group is its own, so that Ctrl-C reaches only
 * the parent, which stops its children in order; when the parent is killed, they end by themselves.
 * One that was left behind all the same is stopped first.
 * @throws {Error} naming the service and its last words, when it ends first or takes over 60 s.
 */
export async function startChild(options: ChildOptions): Promise<Child> {
  const { name, command, args, env, logFile, readyUrl, signal } = options
  await stopLeftover(`${logFile}.pid`, args)
  const log = await open(logFile, 'a', 0o600)
  const child = await spawnInto(log, command, args, env).finally(() => log.close())
  endWithUs(child, 'SIGTERM')
  keepShort(logFile, child)
  await writeFile(`${logFile}.pid`, String(child.pid), { mode: 0o600 })
  const stop = (graceSeconds = 15) => stopProcess(child, graceSeconds)
  if (!(await becomesReady(readyUrl, () => isRunning(child) && !signal.aborted))) {
    const outcome = isRunning(child) ? `${name} is not ready after 60 s` : name
    await stop(1)
    throw new Error(`${outcome}: ${(await lastWords(logFile)) ?? (await exited(child))}`)
  }
  const ended = exited(child).then(async (how) =>
    how.startsWith('exit') ? `${how}: ${(await lastWords(logFile)) ?? 'no word'}` : how,
  )
  return { name, ended, stop }
}

/** Resolves when the process has ended, to how. */
export async function exited(child: ChildProcess): Promise<string> {
  if (isRunning(child)) await once(child, 'exit')
  return child.signalCode ? `killed by ${child.signalCode}` : `exit code ${child.exitCode}`
}

/**
 * Sends the child a signal should we be killed: a shell beside it reads from us until we are gone.
 * The child may be any program; only one of ours sees by itself that its parent is no more.
 */
export function endWithUs(child: ChildProcess, signal: NodeJS.Signals): void {
  const script = 'read -r _; kill -s "$1" "$2"'
  const args = ['-c', script, 'sh', signal.replace('SIG', ''), String(child.pid)]
  const guard = spawn('sh', args, { detached: true, stdio: ['pipe', 'ignore', 'ignore'] })
  child.once('exit', () => guard.kill('SIGKILL'))
}

/** A log that is longer is begun anew, and what it held is kept beside it until the next time. */
const longestLogBytes = 16 * 1024 * 1024

/**
 * Watches the log of a child, which must append to it, until that ends: there are at most the log
 * and one older, `LOG.1`. Lines of the moment between copy and cut are lost.
 */
export function keepShort(logFile: string, child: ChildProcess): void {
  let cutting = false
  const timer = setInterval(async () => {
    if (cutting) return
    cutting = true
    await cutIfLong(logFile).catch(() => {})
    cutting = false
  }, 1000)
  timer.unref()
  child.once('exit', () => clearInterval(timer))
}

/** Where there is no room for a copy, the room is what is wanted most. */
async function cutIfLong(logFile: string): Promise<void> {
  if ((await stat(logFile)).size <= longestLogBytes) return
  const older = `${logFile}.1`
  await copyFile(logFile, older).catch(() => rm(older, { force: true }))
  await truncate(logFile)
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

export function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}

async function becomesReady(url: string, alive: () => boolean): Promise<boolean> {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await sleep(100)) {
    if (!alive()) return false
    const signal = AbortSignal.timeout(2000)
    const answer = await fetch(url, { signal }).catch(() => undefined)
    if (answer?.ok && alive()) return true
  }
  return false
}

async function stopProcess(child: ChildProcess, graceSeconds: number): Promise<void> {
  if (!isRunning(child)) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const force = setTimeout(() => child.kill('SIGKILL'), graceSeconds * 1000)
  await exited
  clearTimeout(force)
}

/** What the last line of a service's log says, without level, time and the like. */
async function lastWords(logFile: string): Promise<string | undefined> {
  const text = await readFile(logFile, 'utf8').catch(() => '')
  const line = text.trimEnd().split('\n').at(-1) ?? ''
  const { message, msg = message, error, err = error } = logFields(line)
  const words = [msg, err].filter(Boolean).join(': ') || line.replace(/^joulebridge: /, '')
  return words === '' ? undefined : words
}

/** The fields of a record in JSON or in logfmt; none of a line that is neither. */
function logFields(line: string): Record<string, unknown> {
  try {
    return JSON.parse(line) ?? {}
  } catch {
    const pairs = line.matchAll(/(\w+)=("(?:[^"\\]|\\.)*"|\S*)/g)
    return Object.fromEntries([...pairs].map(([, key, value = '']) => [key, unquoted(value)]))
  }
}

function unquoted(value: string): string {
  return value.replace(/^"|"$/g, '').replaceAll('\\"', '"')
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
