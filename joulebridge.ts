#!/usr/bin/env node
import { Command, InvalidArgumentError, Option } from 'commander'
import { z } from 'zod'
import { powerCommand } from './control/command.ts'
import { startControl } from './control/main.ts'
import { type RehearsalOptions, startRehearsal } from './control/rehearsal.ts'
import { controlSection } from './control/settings.ts'
import { startSite } from './control/site.ts'
import { type Shard, shardSetting } from './exporter/inventory/shard.ts'
import { deviceList } from './exporter/inventory/static.ts'
import { startExporter } from './exporter/main.ts'
import type { Service } from './exporter/service/http.ts'
import { createLog, errorText, type Logger, logFormats, logLevels } from './exporter/service/log.ts'
import { listenAddress, logSettings, readSettings } from './exporter/service/settings.ts'
import { exporterSection } from './exporter/settings.ts'
import { startSimulator } from './exporter/simulator/main.ts'
import { simulatorSection } from './exporter/simulator/settings.ts'
import manifest from './package.json' with { type: 'json' }
import { describeJobEnergy } from './remote-write/energy/print.ts'
import { addSlurm } from './remote-write/jobs/slurm/command.ts'
import { slurmSection } from './remote-write/jobs/slurm/settings.ts'
import { startRemoteWrite } from './remote-write/main.ts'
import { migrate } from './remote-write/postgres/migrate.ts'
import { connectionUrl, databasePlace, postgresSection } from './remote-write/postgres/pool.ts'
import { remoteWriteSection } from './remote-write/settings.ts'
import { describeStorage } from './remote-write/storage/print.ts'

/** The whole settings file: one section for each service, and what they share. */
const settingsSchema = z
  .strictObject({
    log: logSettings,
    devices: deviceList,
    postgres: postgresSection,
    exporter: exporterSection,
    remoteWrite: remoteWriteSection,
    control: controlSection,
    simulator: simulatorSection,
    slurm: slurmSection,
  })
  .prefault({})

type Settings = z.output<typeof settingsSchema>

interface ServiceFlags {
  'config.file'?: string
  'log.level'?: (typeof logLevels)[number]
  'log.format'?: (typeof logFormats)[number]
  'web.listenAddress'?: string
  shard?: Shard
  checkConfig?: boolean
  migrateOnly?: boolean
}

interface ServiceDefinition {
  section: 'exporter' | 'remoteWrite' | 'control' | 'simulator'
  description: string
  run(settings: Settings, context: ServiceContext): Promise<Service>
}

interface ServiceContext {
  log: Logger
  env: NodeJS.ProcessEnv
  /** The settings file, and what it says now with the flags over it; absent: there is no file. */
  source?: { file: string; read: () => Promise<Settings> } | undefined
}

const services: Record<string, ServiceDefinition> = {
  exporter: {
    section: 'exporter',
    description: 'ask the devices and show their readings as Prometheus metrics',
    run: (settings, { source, ...context }) => {
      const own = ({ log, devices, exporter }: Settings) => ({ log, devices, ...exporter })
      const read = source && (async () => own(await source.read()))
      return startExporter(own(settings), {
        ...context,
        source: source && read && { file: source.file, read },
      })
    },
  },
  'remote-write': {
    section: 'remoteWrite',
    description: 'receive remote write and job events, answer the energy of jobs',
    run: ({ log, postgres, remoteWrite }, context) =>
      startRemoteWrite({ log, postgres, ...remoteWrite }, context),
  },
  control: {
    section: 'control',
    description: "switch power, with the API of HPE's Power Control Service",
    run: ({ log, devices, postgres, control }, context) =>
      startControl({ log, devices, postgres, ...control }, context),
  },
  simulate: {
    section: 'simulator',
    description: 'play a Cray EX chassis, a rack and their jobs on loopback',
    run: ({ log, simulator }, context) => startSimulator({ log, ...simulator }, context),
  },
}

async function main(): Promise<void> {
  const program = new Command('joulebridge')
    .description('Power telemetry, job energy and power control for HPE Cray EX systems.')
    .version(manifest.version)
  addStart(program)
  for (const [name, service] of Object.entries(services)) addService(program, name, service)
  addTools(program)
  addSlurm(program, { load: loadSettings, stopRequested, say })
  program.addCommand(powerCommand({ say, env: process.env }))
  await program.parseAsync()
}

function addStart(program: Command): void {
  program
    .command('start')
    .description('run all services; without settings, on a simulated system with its own database')
    .option('--config.file <file>', 'settings of a site; then nothing is simulated')
    .option('--data-dir <directory>', 'where database, secrets and logs are kept')
    .addOption(
      number('--port-base <port>', 'first of the 200 ports to use', portBase).default(28000),
    )
    .addOption(number('--seed <number>', 'seed of the simulated jobs', seed).default(1))
    .addOption(
      number('--jobs-per-hour <number>', 'pace of the simulated jobs', jobsPerHour).default(40),
    )
    .addOption(
      number('--history-hours <hours>', 'simulated past, sent at start', historyHours).default(24),
    )
    .option('--no-prometheus', 'use the built-in forwarder even if Prometheus is installed')
    .action(startEverything)
}

const portBase = z.int().min(1024).max(65_336)
const { seed, jobsPerHour, historyHours } = simulatorSection.unwrap().shape

async function startEverything(flags: StartFlags): Promise<void> {
  const stopping = new AbortController()
  stopRequested().then(() => stopping.abort(), stopping.abort)
  const { 'config.file': file, dataDir: directory, ...rehearsal } = flags
  const context = { directory, say, signal: stopping.signal, version: manifest.version }
  if (file === undefined) return await startRehearsal(rehearsal, context)
  const { remoteWrite, exporter, control } = await readSettings(settingsSchema, file)
  const sections = { 'remote-write': remoteWrite, exporter, control }
  await startSite(file, sections, context)
}

interface StartFlags extends RehearsalOptions {
  'config.file'?: string
  dataDir?: string
}

function addService(program: Command, name: string, service: ServiceDefinition): void {
  const command = program
    .command(name)
    .description(service.description)
    .option('--config.file <file>', 'settings; without it the defaults hold')
    .addOption(new Option('--log.level <level>', 'least level to log').choices(logLevels))
    .addOption(new Option('--log.format <format>', 'format of the log').choices(logFormats))
    .addOption(checked('--web.listen-address <address>', 'host:port to listen on', listenAddress))
    .option('--check-config', 'only check the settings')
  if (name === 'exporter') {
    command.addOption(checked('--shard <i/n>', 'poll part i of n of the devices', shardSetting))
  }
  if (name === 'remote-write') {
    command.option('--migrate-only', 'only bring the database schema up to date')
  }
  command.action(async (flags: ServiceFlags) => {
    const settings = await settingsWith(flags, service)
    if (flags.checkConfig) return say(`${flags['config.file'] ?? 'defaults'}: ok`)
    if (flags.migrateOnly) return await migrateDatabase(settings)
    const file = flags['config.file']
    const source =
      file === undefined ? undefined : { file, read: () => settingsWith(flags, service) }
    await serve(name, settings, service, source)
  })
}

function addTools(program: Command): void {
  program
    .command('check-config')
    .description('report every fault of a settings file')
    .requiredOption('--config.file <file>', 'the settings file')
    .action(async (flags) => {
      await readSettings(settingsSchema, flags['config.file'])
      say(`${flags['config.file']}: ok`)
    })
  program
    .command('migrate')
    .description('bring the database schema up to date')
    .option('--config.file <file>', 'settings; without it the defaults hold')
    .action(async (flags) => migrateDatabase(await loadSettings(flags['config.file'])))
  program
    .command('job-energy')
    .description('the energy of a job, with its bounds, node by node')
    .argument('<id>', 'job id of the batch scheduler')
    .option('--url <url>', 'where remote-write answers', 'http://127.0.0.1:28011')
    .option('--json', 'the answer of the HTTP API as it comes')
    .addOption(new Option('--explain', 'how it comes about, node by node').conflicts('json'))
    .addOption(
      new Option('--csv', 'each reading that it follows from').conflicts(['json', 'explain']),
    )
    .action(async (id, { url, ...forms }) => {
      const form = (['json', 'explain', 'csv'] as const).find((form) => forms[form] === true)
      say(await describeJobEnergy(url, id, form ?? 'table'))
    })
  program
    .command('storage')
    .description('how large the record of samples is, and what of it')
    .option('--url <url>', 'where remote-write answers', 'http://127.0.0.1:28011')
    .option('--json', 'the answer of the HTTP API as it comes')
    .action(async ({ url, json }) => say(await describeStorage(url, json === true)))
}

async function loadSettings(file: string | undefined): Promise<Settings> {
  return file === undefined ? settingsSchema.parse({}) : await readSettings(settingsSchema, file)
}

/** The settings file with the flags over it. */
async function settingsWith(flags: ServiceFlags, service: ServiceDefinition): Promise<Settings> {
  const settings = await loadSettings(flags['config.file'])
  settings.log.level = flags['log.level'] ?? settings.log.level
  settings.log.format = flags['log.format'] ?? settings.log.format
  const { web } = settings[service.section]
  web.listenAddress = flags['web.listenAddress'] ?? web.listenAddress
  settings.exporter.shard = flags.shard ?? settings.exporter.shard
  return settings
}

async function migrateDatabase({ postgres }: Settings): Promise<void> {
  await migrate(await connectionUrl(postgres, process.env)).catch((cause: unknown) => {
    throw new Error(`database ${databasePlace(postgres)}`, { cause })
  })
  say('the database schema is up to date')
}

/**
 * Runs a service until a signal, or the end of the parent that started it. SIGHUP has one that can
 * read its settings again do so.
 */
async function serve(
  name: string,
  settings: Settings,
  { run }: ServiceDefinition,
  source: ServiceContext['source'],
): Promise<void> {
  const log = createLog(name, settings.log)
  const service = await run(settings, { log, env: process.env, source })
  log.info({ url: service.url }, 'listening')
  if (service.reload) process.on('SIGHUP', () => service.reload?.())
  log.info({ reason: await stopRequested(service.reload && ['SIGHUP']) }, 'stopping')
  await service.close()
  if (process.connected) process.disconnect()
}

/**
 * Resolves to the signal that asks us to end, or to the loss of the parent that started us. Signals
 * after the first change nothing: Ctrl-C under npm arrives more than once. Whoever closes the pipe
 * that we write to, as `head` does, has seen enough.
 */
function stopRequested(but: readonly string[] = []): Promise<string> {
  return new Promise((resolve) => {
    for (const event of ['SIGINT', 'SIGTERM', 'SIGHUP', 'disconnect']) {
      if (!but.includes(event)) process.on(event, () => resolve(event))
    }
    process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
      if (code === 'EPIPE') resolve(code)
    })
  })
}

function number(flags: string, description: string, schema: z.ZodType): Option {
  const parse = (text: unknown) => (Number.isFinite(Number(text)) ? Number(text) : text)
  return checked(flags, description, z.preprocess(parse, schema))
}

/** An option whose value must fit the schema. @throws {InvalidArgumentError} when it does not. */
function checked(flags: string, description: string, schema: z.ZodType): Option {
  return new Option(flags, description).argParser((text) => {
    const { data, error } = schema.safeParse(text)
    if (error) throw new InvalidArgumentError(`${error.issues[0]?.message}.`)
    return data
  })
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

// A full disk or a closed pipe takes the words, not the work.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

main().catch((error: unknown) => {
  process.stderr.write(`joulebridge: ${errorText(error)}\n`)
  process.exitCode = 1
})
