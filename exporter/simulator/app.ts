import { Gauge, Registry } from 'prom-client'
import type { Device } from '../inventory/static.ts'
import { createApp, finishApp, registerProcessMetrics } from '../service/http.ts'
import type { Logger } from '../service/log.ts'
import { RequestError } from '../service/request-error.ts'
import type { HistoryProgress } from './history.ts'
import type { Seconds } from './load.ts'
import { computeNodes } from './system.ts'
import type { Timeline } from './timeline.ts'
import { jobTruth } from './truth.ts'

export interface SimulatorAppOptions {
  log: Logger
  timeline: Timeline
  /** Now, with all that was due by now having happened. */
  asOf: () => Seconds
  history: HistoryProgress
  /** What a client needs to ask the devices; the password it has from elsewhere. */
  access: { devices: readonly Device[]; caFile: string; username: string }
}

const defaultLimit = 100
const mostJobs = 10_000

/** The simulator's own page: what there is, and what is true. */
export function simulatorApp(options: SimulatorAppOptions) {
  const { log, timeline, asOf, history, access } = options
  const registry = new Registry()
  registerMetrics(registry, options)
  const app = createApp({ log, registry, ready: async () => undefined })
  app.get('/inventory', (_request, response) => {
    const nodes = computeNodes.map(({ node, xname, model }) => ({
      node,
      xname,
      cores: model.cores,
    }))
    response.json({ ...access, nodes })
  })
  app.get('/history', (_request, response) => {
    response.json(history)
  })
  app.get('/truth/jobs', (request, response) => {
    const now = asOf()
    const limit = limitOf(request.query['limit'])
    const ended = timeline.log.filter(({ type }) => type === 'end').slice(-limit)
    response.json(ended.reverse().map(({ job }) => jobTruth(timeline, job, now)))
  })
  app.get('/truth/jobs/:id', (request, response) => {
    const now = asOf()
    const job = timeline.job(Number(request.params.id))
    if (!job) throw new RequestError(404, 'not_found', `no job ${request.params.id}`)
    response.json(jobTruth(timeline, job, now))
  })
  return finishApp(app, log)
}

function limitOf(text: unknown): number {
  if (text === undefined) return defaultLimit
  const limit = Number(text)
  if (Number.isInteger(limit) && limit >= 1 && limit <= mostJobs) return limit
  throw new RequestError(400, 'bad_limit', `limit: expected 1 to ${mostJobs}, got ${String(text)}`)
}

function registerMetrics(
  registry: Registry,
  { timeline, asOf, history }: SimulatorAppOptions,
): void {
  registerProcessMetrics(registry)
  new Gauge({
    name: 'joulebridge_simulator_jobs_running',
    help: 'Jobs that run on the simulated nodes now.',
    registers: [registry],
    collect() {
      asOf()
      this.set(timeline.runningJobs)
    },
  })
  new Gauge({
    name: 'joulebridge_simulator_history_ratio',
    help: 'Part of the simulated past that the receiver has.',
    registers: [registry],
    collect() {
      this.set(history.fraction)
    },
  })
}
