import type { IncomingMessage } from 'node:http'
import express, { type ErrorRequestHandler, type Express, type Request, Router } from 'express'
import type { Pool } from 'pg'
import type { Registry } from 'prom-client'
import { createApp, finishApp } from '../exporter/service/http.ts'
import type { Logger } from '../exporter/service/log.ts'
import { RequestError } from '../exporter/service/request-error.ts'
import { checkSchema } from '../remote-write/postgres/migrate.ts'
import { databaseError } from '../remote-write/postgres/sqlstate.ts'
import { authorize } from './authorize.ts'
import type { Components } from './components.ts'
import type { ControlMetrics } from './metrics.ts'
import { createTransition } from './queue.ts'
import { abortTransition, getTransition, listSteps, listTasks, listTransitions } from './records.ts'
import {
  parseIdempotencyKey,
  parsePowerStatusRequest,
  parseTransitionId,
  parseTransitionRequest,
  planTask,
} from './request.ts'
import type { ControlSettings } from './settings.ts'
import { readPowerStatus } from './status.ts'

export interface ControlContext {
  settings: ControlSettings
  pool: Pool
  components: Components
  metrics: ControlMetrics
  registry: Registry
  log: Logger
  env: NodeJS.ProcessEnv
  now: () => Date
  /** Tells the runner that there is work. */
  wake: () => void
}

/** The API of HPE's Power Control Service (PCS), version 1: with and without the prefix `/v1`. */
export function createControlApp(context: ControlContext): Express {
  const { settings, pool, log, registry, env } = context
  const app = createApp({ log, registry, ready: () => checkSchema(pool) })
  const health = healthRoutes(context)
  app.use('/v1', health).use('/', health)
  app.use(authorize(settings.token, env))
  // What PCS's clients send is JSON, whatever they call it.
  app.use(express.json({ type: () => true, limit: largestBody, verify: refuseEmpty }))
  const routes = [transitionRoutes(context), powerStatusRoutes(context)]
  app.use('/v1', routes).use('/', routes)
  return finishApp(app, log)
}

/** Some 100 bytes a target, for many more targets than are allowed. */
const largestBody = 4 * 1024 * 1024
/** Transitions in one list; PCS has no pages. */
const mostListed = 20_000

function healthRoutes({ pool }: ControlContext): Router {
  const routes = Router()
  const isReady = () =>
    checkSchema(pool).then(
      () => true,
      () => false,
    )
  routes
    .route('/liveness')
    .get((_request, response) => void response.status(204).end())
    .all(refuseMethod('GET'))
  routes
    .route('/readiness')
    .get(async (_request, response) => void response.status((await isReady()) ? 204 : 503).end())
    .all(refuseMethod('GET'))
  routes
    .route('/health')
    .get(async (_request, response) => {
      const store = (await isReady()) ? 'connected, responsive' : 'not connected'
      response.json({
        KvStore: store,
        DistLocking: store,
        StateManager: 'disabled',
        Vault: 'disabled',
        TaskRunner: `${store}, local mode`,
      })
    })
    .all(refuseMethod('GET'))
  return routes
}

function transitionRoutes(context: ControlContext): Router {
  const { pool, now, wake } = context
  const routes = Router()
  routes
    .route('/transitions')
    .get(async (_request, response) => {
      response.json({ transitions: await listTransitions(pool, mostListed) })
    })
    .post(async (request, response) => {
      const { transitionId: transitionID, operation } = await accept(request, context)
      response
        .status(context.settings.pcsCompatible ? 200 : 202)
        .location(`${request.baseUrl}/transitions/${transitionID}`)
        .json({ transitionID, operation })
    })
    .all(refuseMethod('GET, POST'))
  routes
    .route('/transitions/:id')
    .get(async (request, response) => {
      const id = parseTransitionId(request.params.id)
      response.json({ ...(await getTransition(pool, id)), tasks: await tasksOf(id, request, pool) })
    })
    .delete(async (request, response) => {
      await abortTransition(pool, parseTransitionId(request.params.id), now())
      wake()
      response.status(202).json({ abortStatus: 'Accepted - abort initiated' })
    })
    .all(refuseMethod('GET, DELETE'))
  // Here every error that is not the caller's comes from the database.
  const onError: ErrorRequestHandler = (error: unknown, _request, _response, next) =>
    next(databaseError(error))
  routes.use(onError)
  return routes
}

async function accept(request: Request, context: ControlContext) {
  const { settings, components, pool, now } = context
  const wanted = parseTransitionRequest(request.body, settings.targetsPerRequest)
  const createdAt = now()
  const accepted = await createTransition(pool, {
    request: wanted,
    tasks: wanted.xnames.map((xname) => planTask(xname, components.controllerOf)),
    idempotencyKey: parseIdempotencyKey(request.get('idempotency-key')),
    createdAt,
    expiresAt: new Date(createdAt.getTime() + settings.retentionHours * 3_600_000),
  })
  if (accepted.isNew) {
    context.metrics.transitions.inc({ operation: wanted.operation })
    const { transitionId: transition_id, operation } = accepted
    const targets = wanted.xnames.length
    context.log.info({ transition_id, operation, targets }, 'transition accepted')
    context.wake()
  }
  return accepted
}

/** With `?steps=true` each task tells what was sent, what came back, and why. */
async function tasksOf(id: string, request: Request, pool: Pool) {
  const tasks = await listTasks(pool, id)
  if (request.query['steps'] !== 'true') return tasks
  const steps = await listSteps(pool, id)
  return tasks.map((task) => ({ ...task, steps: steps.get(task.xname) ?? [] }))
}

function powerStatusRoutes({ components, settings, now }: ControlContext): Router {
  const { statusSeconds, inFlight } = settings
  const answer = async (input: unknown) => ({
    status: await readPowerStatus(parsePowerStatusRequest(input), {
      components,
      now,
      statusSeconds,
      inFlight,
    }),
  })
  const routes = Router()
  routes
    .route('/power-status')
    .get(async (request, response) => void response.json(await answer(request.query)))
    .post(async (request, response) => void response.json(await answer(request.body)))
    .all(refuseMethod('GET, POST'))
  return routes
}

/** The parser would take no body for an empty object. */
function refuseEmpty({ method }: IncomingMessage, _response: unknown, body: Buffer): void {
  if (method !== 'POST' || body.length > 0) return
  throw new RequestError(400, 'bad_request', 'the body: expected JSON')
}

function refuseMethod(allow: string): express.RequestHandler {
  return (request, response) => {
    response.set('allow', allow)
    const message = `${request.method} ${request.originalUrl}: allowed are ${allow}`
    throw new RequestError(405, 'method_not_allowed', message)
  }
}
