import type { IncomingMessage } from 'node:http'
import express, { type Express, type Request, type Response, Router } from 'express'
import type { Registry } from 'prom-client'
import { addPage } from '../dashboards/page/serve.ts'
import { createApp, finishApp } from '../exporter/service/http.ts'
import { errorText } from '../exporter/service/log.ts'
import { RequestError } from '../exporter/service/request-error.ts'
import { checkSchema } from '../remote-write/postgres/migrate.ts'
import { databaseError } from '../remote-write/postgres/sqlstate.ts'
import { audit, listAudit } from './audit.ts'
import { authenticate, requireRight, type User } from './authorize.ts'
import { callOf, type Handler, type Handlers, requestIdOf } from './call.ts'
import { type CapContext, capHandlers } from './caps/routes.ts'
import { healthHandlers } from './health-routes.ts'
import type { HttpMetrics } from './http-metrics.ts'
import { type Route, type RouteId, routes } from './openapi/routes.ts'
import { auditQuery } from './openapi/schema.ts'
import type { Rate } from './rate.ts'
import { parse, parsePowerStatusRequest } from './request.ts'
import { type Changes, readPowerStatus } from './status.ts'
import { type TransitionContext, transitionHandlers } from './transition-routes.ts'

export interface ControlContext extends TransitionContext {
  caps: Pick<CapContext, 'devices' | 'metrics' | 'wake'>
  http: HttpMetrics
  rate: Rate
  registry: Registry
  env: NodeJS.ProcessEnv
}

/**
 * The API of HPE's Power Control Service (PCS), version 1: with and without the prefix `/v1`, and
 * the same under the base path.
 */
export function createControlApp(context: ControlContext): Express {
  const { pool, log, registry, settings } = context
  const app = createApp({ log, registry, ready: () => checkSchema(pool) })
  addPage(app, { service: 'control', otherUrl: settings.recordUrl })
  const api = apiRoutes(context)
  for (const base of new Set(['', settings.basePath])) app.use(`${base}/v1`, api)
  for (const base of new Set([settings.basePath, ''])) app.use(base || '/', api)
  // What is no route is not told to who has no business here.
  app.use(async (request, response, next) => {
    await userOf(request, response, context)
    context.http.requests.inc({ route: 'none', status: '404' })
    next()
  })
  return finishApp(app, log)
}

/** Some 100 bytes a component, for many more than are allowed. */
const largestBody = 4 * 1024 * 1024

function apiRoutes(context: ControlContext): Router {
  const handlers = allHandlers(context)
  const router = Router()
  // What PCS's clients send is JSON, whatever they call it.
  const readJson = express.json({ type: () => true, limit: largestBody, verify: refuseEmpty })
  for (const [id, route] of Object.entries<Route>(routes) as [RouteId, Route][]) {
    const serve = serveRoute(handlers[id])
    const path = route.path.replace(/\{(\w+)\}/g, ':$1')
    const guard = guardRoute(id, route, context)
    router[route.method](path, guard, ...(route.body ? [readJson, refuseNone] : []), serve)
  }
  for (const [path, methods] of methodsByPath()) {
    router.all(path, (request, response) => refuseMethod(request, response, { methods, context }))
  }
  router.use(failed(context))
  return router
}

function allHandlers(context: ControlContext): Handlers<RouteId> {
  const { components, settings, now, pool } = context
  const { statusSeconds, inFlight } = settings
  const changes: Changes = new Map()
  const powerStatus = async (input: unknown) => {
    const asked = parsePowerStatusRequest(input)
    const around = { components, now, statusSeconds, inFlight, changes }
    const status = await readPowerStatus(asked, around)
    return { status: 200, body: { status } }
  }
  return {
    ...transitionHandlers(context),
    ...capHandlers({ ...context, ...context.caps }),
    ...healthHandlers(context),
    getPowerStatus: async ({ query }) => await powerStatus(query),
    postPowerStatus: async ({ body }) => await powerStatus(body),
    async getAudit({ query }) {
      const { limit = 1000, cursor: before, id: workId, ...rest } = parse(auditQuery, query)
      const rows = await listAudit(pool, { ...rest, workId, before, limit })
      const last = rows.length === limit ? rows.at(-1) : undefined
      return { status: 200, body: { audit: rows, ...(last && { nextCursor: last.auditID }) } }
    },
  }
}

type Locals = { user?: User; requestId?: string; route?: RouteId }

/** Who it is, and whether they may. */
function guardRoute(id: RouteId, { right }: Route, context: ControlContext) {
  return async (request: Request, response: Response, next: () => void) => {
    const locals: Locals = response.locals
    locals.route = id
    locals.requestId = requestIdOf(request)
    response.set('x-request-id', locals.requestId)
    measure(id, response, context.http)
    if (right === undefined) return next()
    const user = await userOf(request, response, context)
    locals.user = user
    requireRight(user, right)
    context.rate.check(user.name, response)
    next()
  }
}

async function userOf(request: Request, response: Response, context: ControlContext) {
  const { settings, env } = context
  try {
    return await authenticate(request, settings, env)
  } catch (error) {
    if (error instanceof RequestError && error.status === 401) {
      response.set('www-authenticate', 'Bearer realm="joulebridge control"')
    }
    throw error
  }
}

function measure(route: RouteId, response: Response, { requests, duration }: HttpMetrics): void {
  const end = duration.startTimer({ route })
  response.once('close', () => {
    end()
    requests.inc({ route, status: String(response.statusCode) })
  })
}

function serveRoute(handler: Handler) {
  return async (request: Request, response: Response) => {
    const { user, requestId = requestIdOf(request) }: Locals = response.locals
    const { status, body, location } = await handler(callOf(request, user, requestId))
    response.status(status)
    if (location !== undefined) response.location(request.baseUrl + location)
    if (body === undefined) response.end()
    else response.json(body)
  }
}

/** Of requests that would change something, the audit tells also those that were refused. */
function failed({ pool, log, now }: ControlContext): express.ErrorRequestHandler {
  return (cause: unknown, request, response, next) => {
    // Here every error that is not the caller's comes from the database.
    const error = statusOf(cause) === undefined ? databaseError(cause) : cause
    const { user, requestId, route }: Locals = response.locals
    const status = statusOf(error) ?? 500
    const changes = request.method !== 'GET' && route !== 'postPowerStatus'
    if (user === undefined || !changes || status >= 500) return next(error)
    const text = errorText(error)
    const said = { at: now(), event: 'refused' as const, user: user.name, requestId }
    const address = request.socket.remoteAddress
    const outcome = `HTTP ${status}: ${text.slice(0, 1000)}`
    const entry = { ...said, address, outcome, detail: { route } }
    audit(pool, entry)
      .catch((fault: unknown) => log.error({ error: fault }, 'a refusal is not in the audit'))
      .finally(() => next(error))
  }
}

function statusOf(error: unknown): number | undefined {
  return error instanceof Error && 'status' in error && typeof error.status === 'number'
    ? error.status
    : undefined
}

/** The parser would take no body for an empty object. */
function refuseEmpty(_request: IncomingMessage, _response: unknown, body: Buffer): void {
  if (body.length > 0) return
  throw new RequestError(400, 'bad_request', 'the body: expected JSON')
}

/** Nor does it look at a request without any body. */
function refuseNone(request: Request, _response: Response, next: () => void): void {
  if (request.body === undefined) {
    throw new RequestError(400, 'bad_request', 'the body: expected JSON')
  }
  next()
}

function methodsByPath(): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const { path, method } of Object.values<Route>(routes)) {
    const key = path.replace(/\{(\w+)\}/g, ':$1')
    found.set(key, [...(found.get(key) ?? []), method.toUpperCase()])
  }
  return found
}

/** Where PCS answers a PATCH with 404, its clients' tests expect that. */
const quirks: ReadonlySet<string> = new Set(['/transitions', '/power-status'])

interface Refused {
  methods: readonly string[]
  context: ControlContext
}

async function refuseMethod(request: Request, response: Response, refused: Refused) {
  const { methods, context } = refused
  const isOpen = Object.values<Route>(routes).some(
    ({ path, right }) => path === request.path && right === undefined,
  )
  if (!isOpen) await userOf(request, response, context)
  const isQuirk = request.method === 'PATCH' && quirks.has(request.path)
  if (isQuirk && context.settings.pcsCompatible) {
    throw new RequestError(404, 'not_found', `no route PATCH ${request.originalUrl}`)
  }
  const allow = methods.join(', ')
  response.set('allow', allow)
  const message = `${request.method} ${request.originalUrl}: allowed are ${allow}`
  throw new RequestError(405, 'method_not_allowed', message)
}
