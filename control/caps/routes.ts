import type { Pool } from 'pg'
import type { Logger } from '../../exporter/service/log.ts'
import { requireRight } from '../authorize.ts'
import type { Answer, Call, Handlers } from '../call.ts'
import type { Components } from '../components.ts'
import { checkConfirmed, type Protection, protectionOf } from '../guard.ts'
import type { WorkMetrics } from '../metrics.ts'
import { pageQuery } from '../openapi/schema.ts'
import {
  type CapRequest,
  formatCursor,
  parse,
  parseCursor,
  parseId,
  parsePatchRequest,
  parseSnapshotRequest,
} from '../request.ts'
import type { ControlSettings } from '../settings.ts'
import type { CapDevices } from './devices.ts'
import { dryRunCaps } from './dry-run.ts'
import { getCap, listCapComponents, listCaps } from './records.ts'
import { planCaps } from './request.ts'
import { createCap } from './store.ts'

export interface CapContext {
  settings: ControlSettings
  pool: Pool
  components: Pick<Components, 'controllerOf'>
  devices: CapDevices
  metrics: Pick<WorkMetrics, 'accepted'>
  log: Logger
  now: () => Date
  /** What only `override` reaches, now. @throws {UnavailableError} when that is not known. */
  protections: () => readonly Protection[]
  /** Tells the runner that there is work. */
  wake: () => void
}

type CapRoute = 'createSnapshot' | 'patchPowerCap' | 'listPowerCaps' | 'getPowerCap'

/** Tasks in one list; PCS has no pages. */
const mostListed = 20_000

export function capHandlers(context: CapContext): Handlers<CapRoute> {
  const { pool, settings } = context
  const options = { maxTargets: settings.targetsPerRequest, strict: settings.strict }
  return {
    createSnapshot: async (call) =>
      await create(call, parseSnapshotRequest(call.body, options), context),
    patchPowerCap: async (call) =>
      await create(call, parsePatchRequest(call.body, options), context),
    async listPowerCaps({ query }) {
      const { limit = mostListed, cursor } = parse(pageQuery, query)
      const tasks = await listCaps(pool, { limit, after: parseCursor(cursor) })
      const last = tasks.length === limit ? tasks.at(-1) : undefined
      const next = last && formatCursor({ at: last.taskCreateTime, id: last.taskID })
      return { status: 200, body: { tasks, ...(next && { nextCursor: next }) } }
    },
    async getPowerCap({ params }) {
      const id = parseId(params['id'])
      // In this order: of a task that is completed all components have ended.
      const record = await getCap(pool, id)
      return { status: 200, body: { ...record, components: await listCapComponents(pool, id) } }
    },
  }
}

async function create(call: Call, request: CapRequest, context: CapContext): Promise<Answer> {
  const { settings, pool, components, now, metrics, log } = context
  const { user, address, requestId, idempotencyKey } = call
  if (request.override && user) requireRight(user, 'override')
  const protections = request.override ? [] : context.protections()
  const planned = planCaps(request, {
    controllerOf: components.controllerOf,
    protectionOf: (xname) => protectionOf(xname, { takesPower: false, protections }),
  })
  if (request.type === 'patch') checkConfirmed(planned.length, request, settings.confirmAbove)
  if (request.dryRun) return { status: 200, body: await dryRunCaps(request, planned, context) }
  const createdAt = now()
  const { taskId: taskID, isNew } = await createCap(pool, {
    request,
    components: planned,
    idempotencyKey,
    createdAt,
    expiresAt: new Date(createdAt.getTime() + settings.retentionHours * 3_600_000),
    user: user?.name ?? 'nobody',
    address,
    requestId,
  })
  if (isNew) {
    const { type } = request
    metrics.accepted.inc({ type })
    const targets = planned.length
    log.info({ task_id: taskID, type, targets, user: user?.name }, 'power-cap task accepted')
    context.wake()
  }
  return {
    status: settings.pcsCompatible ? 200 : 202,
    location: `/power-cap/${taskID}`,
    body: { taskID },
  }
}
