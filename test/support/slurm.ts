import { type ChildProcess, execFile, type StdioOptions, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { endWithUs, findProgram, isRunning } from '../../exporter/service/child.ts'
import { until } from './command.ts'
import { freePort } from './port.ts'
import { databaseConf, slurmConf } from './slurm-conf.ts'

const execute = promisify(execFile)
const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

const programs = [
  ...['slurmctld', 'slurmd', 'slurmdbd', 'sacct', 'sacctmgr', 'scontrol', 'sbatch', 'srun'],
  ...['munged', 'mariadbd', 'mariadb-install-db'],
]

/** Skips the test aloud where Slurm cannot be started; for root with `CI` set that is a failure. */
export async function requireSlurm(context: Mocha.Context): Promise<void> {
  const found = await Promise.all(programs.map((name) => findProgram(name, slurmEnv())))
  const missing = programs.filter((_, i) => found[i] === undefined)
  const isRoot = process.getuid?.() === 0
  if (missing.length === 0 && isRoot) return
  const reason = `a real Slurm needs ${[...missing, ...(isRoot ? [] : ['root'])].join(', ')}`
  if (process.env['CI'] && isRoot) throw new Error(`${reason}, and CI must have it`)
  process.stderr.write(`SKIPPED: ${reason}: ${context.test?.parent?.fullTitle()}\n`)
  context.skip()
}

/** Whether nodes can have a /sys of their own, which some containers forbid; says so if not. */
export async function mayOwnSys(): Promise<boolean> {
  const tried = execute('unshare', ['-m', 'mount', '-t', 'tmpfs', 'none', '/mnt'])
  return await tried.then(
    () => true,
    (error: Error) => {
      process.stderr.write(`SKIPPED: Slurm's own energy: ${error.message}\n`)
      return false
    },
  )
}

/** Debian keeps daemons where users have no path to. */
function slurmEnv(first?: string): NodeJS.ProcessEnv {
  const folders = [
    ...(first === undefined ? [] : [first]),
    process.env['PATH'],
    '/usr/sbin',
    '/sbin',
  ]
  return { ...process.env, PATH: folders.join(':') }
}

export interface SlurmOptions {
  nodes: number
  /** More lines of slurm.conf, which may name the directory as `$R`. */
  lines?: readonly string[]
  /** Has in a folder for each node what it finds in /sys/cray/pm_counters. */
  counters?: string
  /** How many accelerators each node has: files that nothing opens. */
  accelerators?: number
  /** Folder of the programs of another Slurm than the system's. */
  programs?: string
}

/** uid and gid of accounts that every Debian has: jobs need users. */
export const users = {
  root: { uid: 0, gid: 0 },
  games: { uid: 5, gid: 60 },
  nobody: { uid: 65_534, gid: 65_534 },
} as const

/**
 * A Slurm on loopback: munge, MariaDB, slurmdbd, slurmctld and a slurmd for each node `nid000001`
 * and on. Programs that talk to it want its `env`.
 */
export class Slurm {
  readonly directory: string
  readonly env: NodeJS.ProcessEnv
  readonly #daemons = new Map<string, ChildProcess>()
  readonly #nodes: string[]
  readonly #counters: string | undefined

  static async start(options: SlurmOptions): Promise<Slurm> {
    const directory = await mkdtemp(join(tmpdir(), 'joulebridge-slurm-'))
    const slurm = new Slurm(directory, options)
    try {
      await slurm.#start(options)
      return slurm
    } catch (error) {
      await slurm.close()
      throw error
    }
  }

  private constructor(directory: string, { nodes, counters, programs }: SlurmOptions) {
    this.directory = directory
    this.#counters = counters
    this.env = { ...slurmEnv(programs), SLURM_CONF: join(directory, 'slurm.conf') }
    this.#nodes = Array.from({ length: nodes }, (_, i) => `nid${String(i + 1).padStart(6, '0')}`)
  }

  async #start(options: SlurmOptions): Promise<void> {
    const folders = ['munge', 'state', 'spool', 'run', 'log', 'mysql', 'events', 'work']
    await Promise.all(folders.map((name) => mkdir(this.path(name))))
    await chmod(this.directory, 0o755)
    await chmod(this.path('work'), 0o777)
    const ports = await freePorts(this.#nodes.length + 4)
    await this.#writeConfig(ports, options)
    await Promise.all([this.#startMunge(), this.#startMariadb(ports[0] ?? 0)])
    await this.startDaemon('slurmdbd')
    await this.#addAccounts()
    await this.startController()
    await Promise.all(this.#nodes.map((name) => this.startDaemon('slurmd', name)))
    await this.#whenIdle()
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  /** Runs a program of Slurm's; what it printed. */
  async run(program: string, args: readonly string[], user: keyof typeof users = 'root') {
    const options = { env: this.env, cwd: this.path('work'), timeout: 60_000, ...users[user] }
    return (await execute(program, args, options)).stdout
  }

  /** Submits a batch script; the number of the job. */
  async submit(script: string, args: readonly string[] = [], user: keyof typeof users = 'root') {
    const words = ['--parsable', '--output=/dev/null', ...args, `--wrap=${script}`]
    return Number((await this.run('sbatch', words, user)).split(';')[0])
  }

  /** What `scontrol show job` calls the job's state. */
  async stateOf(job: number): Promise<string> {
    const text = await this.run('scontrol', ['show', 'job', '-o', String(job)]).catch(() => '')
    return /JobState=(\w+)/.exec(text)?.[1] ?? 'unknown'
  }

  async whenState(job: number, ...states: string[]): Promise<void> {
    let state = ''
    const look = async () => {
      state = await this.stateOf(job)
      return states.includes(state) ? true : undefined
    }
    await until(look, 60, () => `job ${job} is ${state}, not ${states.join(' or ')}`)
  }

  /** Resolves when the job has run for some seconds: in accounting a second is the least. */
  async whenRun(job: number, seconds: number): Promise<void> {
    await this.whenState(job, 'RUNNING')
    const old = async () => {
      const text = await this.run('squeue', ['-h', '-j', String(job), '-o', '%M'])
      return Number(text.trim().split(':').at(-1)) >= seconds || undefined
    }
    await until(old, 20, () => `job ${job} does not run on`)
  }

  async startDaemon(program: string, node?: string): Promise<void> {
    const child = node === undefined ? this.#spawn(program, program, ['-D']) : this.#spawnNode(node)
    if (program === 'slurmdbd') await this.#whenAnswers('sacctmgr', ['-n', 'show', 'cluster'])
    if (!isRunning(child)) throw new Error(`${program}: ${await this.#log(node ?? program)}`)
  }

  async startController(): Promise<void> {
    await this.startDaemon('slurmctld')
    await this.#whenAnswers('scontrol', ['show', 'partition'])
  }

  /** Resolves when slurmctld has written down what it knows now; it does so every few seconds. */
  async whenSaved(): Promise<void> {
    const now = Date.now()
    const saved = async () => (await stat(this.path('state/job_state'))).mtimeMs > now || undefined
    await until(saved, 40, () => 'slurmctld does not save its state')
  }

  /** `joulebridge` with these arguments, beside this Slurm. */
  joulebridge(...args: string[]): ChildProcess {
    const words = ['--import', 'tsx', join(root, 'joulebridge.ts'), ...args]
    const stdio: StdioOptions = ['ignore', 'ignore', 'inherit']
    const options = { env: this.env, cwd: root, stdio }
    const child = spawn(process.execPath, words, options)
    endWithUs(child, 'SIGKILL')
    return child
  }

  /** What `joulebridge slurm check` says, and its exit status. */
  async check(...args: string[]): Promise<{ status: number; said: string }> {
    const words = ['--import', 'tsx', join(root, 'joulebridge.ts'), 'slurm', 'check', ...args]
    const options = { env: this.env, cwd: root, timeout: 60_000 }
    return await execute(process.execPath, words, options).then(
      ({ stdout }) => ({ status: 0, said: stdout }),
      ({ code, stdout, stderr }) => ({ status: code, said: stdout + stderr }),
    )
  }

  /** As `kill -9` does it. */
  async kill(name: string): Promise<void> {
    const child = this.#daemons.get(name)
    if (child) await stopped(child, 'SIGKILL')
  }

  async close(): Promise<void> {
    const last = ['slurmctld', 'slurmdbd', 'mariadbd', 'munged']
    const nodes = [...this.#daemons].filter(([name]) => !last.includes(name))
    await Promise.all(nodes.map(([, child]) => stopped(child, 'SIGTERM')))
    for (const name of last) {
      const child = this.#daemons.get(name)
      if (child) await stopped(child, name === 'mariadbd' ? 'SIGKILL' : 'SIGTERM')
    }
    await rm(this.directory, { recursive: true, force: true, maxRetries: 5 })
  }

  #spawn(name: string, program: string, args: readonly string[]): ChildProcess {
    // slurmctld as `slurmctld-wlm` ends with a fault: its libraries look at the program's name.
    const child = spawn(program, args, { env: this.env, stdio: 'ignore', cwd: this.directory })
    endWithUs(child, 'SIGKILL')
    this.#daemons.set(name, child)
    return child
  }

  #spawnNode(node: string): ChildProcess {
    const slurmd = ['slurmd', '-D', '-N', node]
    if (this.#counters === undefined) return this.#spawn(node, 'slurmd', slurmd.slice(1))
    const places = [this.path(`run/sys-${node}`), join(this.#counters, node)]
    return this.#spawn(node, 'unshare', ['-m', 'sh', '-ec', ownSys, 'sh', ...places, ...slurmd])
  }

  async #log(name: string): Promise<string> {
    return (await readFile(this.path(`log/${name}.log`), 'utf8').catch(() => '')).slice(-2000)
  }

  async #startMunge(): Promise<void> {
    const key = this.path('munge/key')
    await writeFile(key, randomBytes(128), { mode: 0o400 })
    const file = (name: string) => this.path(`munge/${name}`)
    const files = ['socket', 'pid-file', 'log-file', 'seed-file'].map((n) => `--${n}=${file(n)}`)
    const more = ['--foreground', '--force', '--num-threads=2', `--key-file=${key}`]
    this.#spawn('munged', 'munged', [...files, ...more])
  }

  async #startMariadb(port: number): Promise<void> {
    const data = this.path('mysql')
    const common = ['--no-defaults', `--datadir=${data}`]
    const install = [...common, '--user=root', '--auth-root-authentication-method=normal']
    await execute('mariadb-install-db', [...install, '--skip-test-db'], { env: this.env })
    const grants = this.path('run/grants.sql')
    const who = "slurm@'127.0.0.1'"
    await writeFile(grants, `create user ${who};\ngrant all on *.* to ${who};\n`)
    this.#spawn('mariadbd', 'mariadbd', [
      ...common,
      ...['--user=root', '--skip-name-resolve', `--init-file=${grants}`],
      ...['--bind-address=127.0.0.1', `--port=${port}`],
      ...[`--socket=${data}/socket`, `--pid-file=${data}/pid`, '--innodb-flush-method=fsync'],
      ...['--innodb-flush-log-at-trx-commit=0', '--innodb-buffer-pool-size=64M'],
    ])
    // slurmdbd that finds no database waits five seconds before it looks again.
    await until(
      () => takesConnections(port),
      30,
      () => 'MariaDB does not listen',
    )
  }

  async #addAccounts(): Promise<void> {
    await this.run('sacctmgr', ['-i', 'add', 'cluster', 'nidtest'])
    await this.run('sacctmgr', ['-i', 'add', 'account', 'proj_a,proj_b'])
    await this.run('sacctmgr', ['-i', 'add', 'user', 'root,games', 'account=proj_a'])
    await this.run('sacctmgr', ['-i', 'add', 'user', 'nobody', 'account=proj_b'])
  }

  async #whenAnswers(program: string, args: readonly string[]): Promise<void> {
    const answers = () => this.run(program, args).catch(() => undefined)
    await until(answers, 30, () => `${program} gets no answer`)
  }

  async #whenIdle(): Promise<void> {
    const idle = async () => {
      const states = (await this.run('sinfo', ['-h', '-N', '-o', '%t', '-p', 'workq'])).split('\n')
      return states.filter((state) => state === 'idle').length === this.#nodes.length || undefined
    }
    await until(idle, 30, () => 'the nodes do not become idle').catch(async (cause: unknown) => {
      const said = await Promise.all(this.#nodes.map((name) => this.#log(name)))
      throw new Error(said.join('\n'), { cause })
    })
  }

  async #writeAccelerators(count: number): Promise<void> {
    const files = Array.from({ length: count }, (_, i) => this.path(`run/gpu${i}`))
    await Promise.all(files.map((file) => writeFile(file, '')))
    await writeFile(this.path('gres.conf'), files.map((file) => `Name=gpu File=${file}\n`).join(''))
  }

  async #writeConfig(ports: readonly number[], options: SlurmOptions): Promise<void> {
    const { nodes, lines = [], accelerators } = options
    const [mysql, dbd, control, daemon, ...nodePorts] = ports
    const gres = accelerators === undefined ? '' : `Gres=gpu:${accelerators} `
    if (accelerators !== undefined) await this.#writeAccelerators(accelerators)
    const names = this.#nodes.map(
      (name, i) =>
        `NodeName=${name} NodeHostname=localhost NodeAddr=127.0.0.1 Port=${nodePorts[i]} ` +
        `CPUs=4 RealMemory=1000 ${gres}State=UNKNOWN`,
    )
    const range = `nid[000001-${String(nodes).padStart(6, '0')}]`
    const text = slurmConf([...lines, ...(gres && ['GresTypes=gpu'])])
      .replaceAll('$DBD', String(dbd))
      .replaceAll('$CONTROL', String(control))
      .replaceAll('$DAEMON', String(daemon))
    const partitions = [
      `PartitionName=workq Nodes=${range} Default=YES MaxTime=INFINITE State=UP`,
      `PartitionName=shared Nodes=${range} MaxTime=INFINITE State=UP OverSubscribe=FORCE:4`,
    ]
    const whole = [text, ...names, ...partitions, ''].join('\n')
    await writeFile(this.path('slurm.conf'), whole.replaceAll('$R', this.directory))
    const database = databaseConf(mysql ?? 0, dbd ?? 0).replaceAll('$R', this.directory)
    await writeFile(this.path('slurmdbd.conf'), database, { mode: 0o600 })
  }
}

/** A /sys that only what it starts sees: the machine's, and the node's own cray/pm_counters. */
const ownSys = `new=$1 counters=$2
shift 2
mkdir "$new"
mount -t tmpfs none "$new"
for entry in /sys/*; do
  mkdir "$new/\${entry##*/}"
  mount --rbind "$entry" "$new/\${entry##*/}"
done
mkdir -p "$new/cray/pm_counters"
mount --bind "$counters" "$new/cray/pm_counters"
mount --rbind "$new" /sys
exec "$@"`

async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>()
  while (ports.size < count) ports.add(await freePort())
  return [...ports]
}

async function takesConnections(port: number): Promise<true | undefined> {
  const socket = connect(port, '127.0.0.1')
  const connected = await once(socket, 'connect').then(
    () => true as const,
    () => undefined,
  )
  socket.destroy()
  return connected
}

async function stopped(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (!isRunning(child)) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  const force = setTimeout(() => child.kill('SIGKILL'), 5000)
  child.kill(signal)
  await ended
  clearTimeout(force)
}
