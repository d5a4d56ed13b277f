import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { Registry } from 'prom-client'
import {
  createApp,
  finishApp,
  listen,
  registerProcessMetrics,
  type Service,
} from '../../../exporter/service/http.ts'
import { createLog, type Logger, type LogSettings } from '../../../exporter/service/log.ts'
import { checkSite } from './check.ts'
import type { Bridge } from './deliver.ts'
import { GresReader } from './gres.ts'
import { registerSlurmMetrics, registerSpoolGauge } from './metrics.ts'
import { poll } from './poll.ts'
import type { Programs } from './program.ts'
import type { SlurmSettings } from './settings.ts'
import { ship } from './ship.ts'
import { writeBack } from './write-back.ts'

/** What the program gives its commands for Slurm. */
export interface SlurmContext {
  load: (file: string | undefined) => Promise<{ log: LogSettings; slurm: SlurmSettings }>
  /** Resolves to the reason when we are asked to end. */
  stopRequested: () => Promise<string>
  say: (text: string) => void
}

/** Adds `joulebridge slurm`: what runs beside slurmctld and slurmdbd. */
export function addSlurm(program: Command, context: SlurmContext): void {
  const slurm = program.command('slurm').description('tell remote-write of the jobs of Slurm')
  slurm
    .command('hook')
    .description('print the script for PrologSlurmctld and EpilogSlurmctld')
    .option('--config.file <file>', 'settings; without it the defaults hold')
    .action(async (flags) => {
      const { slurm: settings } = await context.load(flags['config.file'])
      context.say((await hookScript(settings.spoolDirectory)).trimEnd())
    })
  slurm
    .command('check')
    .description("say what is wrong with the site's slurm.conf, hooks, accounting and spool")
    .option('--config.file <file>', 'settings; without it the defaults hold')
    .action((flags) => check(flags['config.file'], context))
  addService(slurm, context, {
    name: 'ship',
    description: 'deliver what the hook wrote, until a signal',
    run: ({ bridge, programs, log, settings, registry }) => {
      const waiting = registerSpoolGauge(registry)
      const gres = new GresReader({ settings: settings.accelerators, programs, log })
      return ship({ directory: settings.spoolDirectory, bridge, log, waiting, gres })
    },
  })
  addService(slurm, context, {
    name: 'poll',
    description: 'read accounting with sacct and tell of it, until a signal',
    run: ({ bridge, programs, log, settings }) =>
      poll({ settings: settings.poll, programs, bridge, log, now: () => new Date() }),
  })
  addService(slurm, context, {
    name: 'write-back',
    description: "write the energy of ended jobs into Slurm's accounting, until a signal",
    run: ({ bridge, programs, log, settings }) =>
      writeBack({ settings: settings.writeBack, programs, bridge, log, now: () => new Date() }),
  })
}

/** Says what is right and wrong, and fails if anything is wrong. */
async function check(file: string | undefined, { load, say }: SlurmContext): Promise<void> {
  const { slurm: settings } = await load(file)
  const parts = connections(settings, AbortSignal.timeout(60_000))
  const findings = await checkSite({ settings, ...parts, now: new Date() })
  for (const { level, text } of findings) say(`${level.padEnd(8)} ${text}`)
  if (findings.some(({ level }) => level === 'fault')) process.exitCode = 1
}

interface Parts {
  settings: SlurmSettings
  bridge: Bridge
  programs: Programs
  log: Logger
  /** Own metrics of the command. */
  registry: Registry
}

interface SlurmService {
  name: string
  description: string
  run: (parts: Parts) => Promise<void>
}

function addService(slurm: Command, context: SlurmContext, service: SlurmService): void {
  slurm
    .command(service.name)
    .description(service.description)
    .option('--config.file <file>', 'settings; without it the defaults hold')
    .option('--web.listen-address <address>', 'host:port to serve /metrics on; default: nowhere')
    .action(async (flags) => {
      const { log: logSettings, slurm: settings } = await context.load(flags['config.file'])
      const log = createLog(`slurm ${service.name}`, logSettings)
      const stopping = new AbortController()
      const registry = new Registry()
      const { bridge, programs } = connections(settings, stopping.signal)
      const metrics = registerSlurmMetrics(registry)
      const address: string | undefined = flags['web.listenAddress']
      const web = address === undefined ? undefined : await serveMetrics(address, registry, log)
      const ended = service.run({
        ...{ settings, log, registry, programs },
        bridge: { ...bridge, metrics },
      })
      log.info({ url: settings.url, metrics: web?.url }, 'started')
      const reason = await Promise.race([context.stopRequested(), ended])
      log.info({ reason }, 'stopping')
      stopping.abort()
      await ended
      await web?.close()
      if (process.connected) process.disconnect()
    })
}

async function serveMetrics(address: string, registry: Registry, log: Logger): Promise<Service> {
  registerProcessMetrics(registry)
  const app = createApp({ log, registry, ready: async () => {} })
  return await listen(finishApp(app, log), address)
}

function connections(settings: SlurmSettings, signal: AbortSignal) {
  const {
    url,
    token,
    caFile,
    programs: folder,
    poll: { timeoutSeconds },
  } = settings
  const env = process.env
  return {
    bridge: { url, token, caFile, env, signal },
    programs: { folder, env, timeoutSeconds, signal },
  }
}

/** The hook, writing to `directory`. */
export async function hookScript(directory: string): Promise<string> {
  const text = await readFile(join(import.meta.dirname, 'hook.sh'), 'utf8')
  return text.replace(/^spool=.*$/m, () => `spool='${directory.replaceAll("'", "'\\''")}'`)
}
