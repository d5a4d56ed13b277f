import { listen, type Service } from '../service/http.ts'
import type { Logger } from '../service/log.ts'
import { readSecret } from '../service/settings.ts'
import { simulatorApp } from './app.ts'
import { keptCertificate } from './certificate.ts'
import { createDevices } from './devices/devices.ts'
import { Slots } from './devices/slots.ts'
import { fillHistory, type HistoryProgress } from './history.ts'
import type { Seconds } from './load.ts'
import { createPlant } from './physics.ts'
import type { SimulatedDevice } from './resources.ts'
import { type DeviceServerOptions, serveDevice } from './server.ts'
import type { SimulatorSettings } from './settings.ts'
import { tellJobs } from './slurm.ts'
import { openState, type StateFile } from './state.ts'
import { type ResetType, Timeline } from './timeline.ts'

export interface SimulatorContext {
  log: Logger
  env: NodeJS.ProcessEnv
  /** The clock of the simulated system; the machine's own when absent. */
  now?: () => Date
}

/** How often it is noted that we are there, so that a later start knows the gap. */
const saveIntervalMs = 10_000

/**
 * Plays a Cray EX chassis, a rack and their jobs: each device on a port of its own, the truth about
 * jobs at the answered URL. Its past and its jobs go to `settings.remoteWriteUrl`, if there is one.
 * @throws {Error} when a port is in use, or the directory holds the state of something else.
 */
export async function startSimulator(
  settings: SimulatorSettings,
  { log, env, now = () => new Date() }: SimulatorContext,
): Promise<Service> {
  const world = await openWorld(settings, now)
  const password = await readSecret(settings.password, env)
  const certificate = await keptCertificate(settings.directory, now())
  const { username, pushSeconds } = settings
  const { asOf, reset } = world
  const { save } = world.kept
  const options = { certificate, username, password, pushSeconds, asOf, reset, save }
  const servers = await serveDevices(world.devices, settings.devicePort, options)
  const history: HistoryProgress = { state: 'off', sent_samples: 0, fraction: 0 }
  const devices = world.devices.map(({ xname, kind }, index) => ({
    xname,
    url: servers[index]?.url ?? '',
    kind,
  }))
  const access = { devices, caFile: certificate.caFile, username }
  const app = simulatorApp({ log, timeline: world.timeline, asOf, history, access })
  const page = await listen(app, settings.web.listenAddress).catch(async (error: unknown) => {
    await closeAll(servers)
    throw error
  })
  const background = runInBackground(settings, world, history, log)
  log.info({ url: page.url, devices: devices.length }, 'simulator is up')
  return {
    url: page.url,
    async close() {
      await background.stop()
      await closeAll([page, ...servers])
    },
  }
}

interface World {
  kept: StateFile
  timeline: Timeline
  devices: readonly SimulatedDevice[]
  /** The clock's time, when all that was due by then has happened. */
  asOf(): Seconds
  reset(xname: string, resetType: ResetType): Promise<void>
}

async function openWorld(settings: SimulatorSettings, now: () => Date): Promise<World> {
  const { directory, seed, jobsPerHour, historyHours } = settings
  const seconds = () => now().getTime() / 1000
  const start = { now: seconds(), seed, jobsPerHour, historyHours }
  const kept = await openState(directory, start)
  const timeline = new Timeline(kept.state)
  const plant = createPlant(timeline, kept.state.workloads[0].seed)
  const devices = createDevices(plant, new Slots(kept.state.slots))
  const asOf = () => {
    const at = seconds()
    timeline.advance(at)
    return at
  }
  const reset = async (xname: string, resetType: ResetType) => {
    const action = { at: Math.ceil(asOf()), xname, resetType }
    timeline.act(action)
    kept.state.actions.push(action)
    await kept.save()
  }
  return { kept, timeline, devices, asOf, reset }
}

async function serveDevices(
  devices: readonly SimulatedDevice[],
  firstPort: number,
  options: Omit<DeviceServerOptions, 'port'>,
): Promise<Service[]> {
  const servers: Service[] = []
  try {
    for (const [index, device] of devices.entries()) {
      const port = firstPort === 0 ? 0 : firstPort + index
      servers.push(await serveDevice(device, { ...options, port }))
    }
  } catch (error) {
    await closeAll(servers)
    throw error
  }
  return servers
}

async function closeAll(services: readonly Service[]): Promise<void> {
  await Promise.all(services.map((service) => service.close()))
}

/** History, job events and the note that we are there; `stop` ends them and saves the state. */
function runInBackground(
  settings: SimulatorSettings,
  world: World,
  history: HistoryProgress,
  log: Logger,
): { stop(): Promise<void> } {
  const { kept, asOf } = world
  const stopping = new AbortController()
  const tasks = settings.remoteWriteUrl
    ? tell(settings, settings.remoteWriteUrl, { world, history, log, signal: stopping.signal })
    : []
  const save = async () => {
    const present = history.state === 'done' || history.state === 'off'
    if (present) kept.state.recordedUntil = asOf()
    await kept.save()
  }
  const timer = setInterval(() => {
    save().catch((error: unknown) => log.error({ error }, 'state not saved'))
  }, saveIntervalMs)
  return {
    async stop() {
      clearInterval(timer)
      stopping.abort()
      await Promise.all(tasks)
      await save()
    },
  }
}

function tell(
  settings: SimulatorSettings,
  url: string,
  context: { world: World; history: HistoryProgress; log: Logger; signal: AbortSignal },
): Promise<void>[] {
  const { world, history, log, signal } = context
  const { state } = world.kept
  const { timeline, devices, asOf } = world
  const jobs = tellJobs({
    timeline,
    url,
    accepted: state.acceptedEvents,
    asOf,
    onAccepted: (events) => {
      state.acceptedEvents = events
    },
    signal,
    log,
  })
  if (settings.historyHours === 0) return [jobs]
  history.state = 'waiting'
  const filling = fillHistory(
    {
      devices,
      url,
      targetLabels: { job: settings.job, instance: settings.instance },
      from: Math.max(state.recordedUntil, asOf() - settings.historyHours * 3600),
      asOf,
      onRecorded: (until) => {
        state.recordedUntil = until
      },
      signal,
      log,
    },
    history,
  )
  return [jobs, filling]
}
