import type { Pool } from 'pg'
import type { Logger } from '../exporter/service/log.ts'
import { abortTransition } from './abort.ts'
import { audit } from './audit.ts'
import { requireRight, rightFor } from './authorize.ts'
import type { Answer, Call, Handlers } from './call.ts'
import type { Components } from './components.ts'
import type { Draws } from './draw.ts'
import { dryRun } from './dry-run.ts'
import {
  checkConfirmed,
  jobFault,
  jobsWithin,
  type Protection,
  protectionOf,
  refuseTasks,
  runningJobs,
  takesPower,
} from './guard.ts'
import type { WorkMetrics } from './metrics.ts'
import { transitionQuery, transitionsQuery } from './openapi/schema.ts'
import { type PlannedTask, planTransition } from './plan.ts'
import { createTransition } from './queue.ts'
import { getTransition, listSteps, listTasks, listTransitions } from './records.ts'
import {
  formatCursor,
  parse,
  parseCursor,
  parseId,
  parseTransitionRequest,
  type TransitionRequest,
} from './request.ts'
import { refuseHeld } from './reserve.ts'
import type { ControlSettings } from './settings.ts'

export interface TransitionContext {
  settings: ControlSettings
  pool: Pool
  components: Components
  metrics: Pick<WorkMetrics, 'accepted'>
  draws: Draws
  log: Logger
  now: () => Date
  /** What only `override` reaches, now. @throws {UnavailableError} when that is not known. */
  protections: () => readonly Protection[]
  /** Tells the runner that there is work. */
  wake: () => void
}

type TransitionRoute = 'listTransitions' | 'createTransition' | 'getTransition' | 'abortTransition'

/** Transitions in one list; PCS has no pages. */
const mostListed = 20_000

export function transitionHandlers(context: TransitionContext): Handlers<TransitionRoute> {
  const { pool, now, wake } = context
  return {
    async listTransitions({ query }) {
      const { limit = mostListed, cursor, ...filters } = parse(transitionsQuery, query)
      const after = parseCursor(cursor)
      const transitions = await listTransitions(pool, { ...filters, limit, after })
      const last = transitions.length === limit ? transitions.at(-1) : undefined
      const next = last && formatCursor({ at: last.createTime, id: last.transitionID })
      return { status: 200, body: { transitions, ...(next && { nextCursor: next }) } }
    },
    createTransition: async (call) => await create(call, context),
    async getTransition({ params, query }) {
      const id = parseId(params['id'])
      const { steps } = parse(transitionQuery, query)
      const record = await getTransition(pool, id)
      const tasks = await listTasks(pool, id)
      if (steps !== 'true') return { status: 200, body: { ...record, tasks } }
      const taken = await listSteps(pool, id)
      const told = tasks.map((task) => ({ ...task, steps: taken.get(task.xname) ?? [] }))
      return { status: 200, body: { ...record, tasks: told } }
    },
    async abortTransition({ params, user, address, requestId }) {
      const workId = parseId(params['id'])
      await abortTransition(pool, workId, now())
      wake()
      const row = { at: now(), event: 'aborted' as const, user: user?.name, address }
      await audit(pool, { ...row, requestId, workId })
      return { status: 202, body: { abortStatus: 'Accepted - abort initiated' } }
    },
  }
}

async function create(call: Call, context: TransitionContext): Promise<Answer> {
  const { settings, pool, now } = context
  const { targetsPerRequest: maxTargets, strict } = settings
  const request = parseTransitionRequest(call.body, { maxTargets, strict })
  checkRights(call, request)
  const tasks = await plan(request, context)
  checkConfirmed(tasks.length, request, settings.confirmAbove)
  if (request.dryRun) {
    const free = await refuseHeld(pool, request.operation, tasks)
    return { status: 200, body: await dryRun(request, free, context) }
  }
  const createdAt = now()
  const { operation, reason } = request
  const row = { user: call.user?.name, address: call.address, requestId: call.requestId }
  const targets = { components: tasks.map(({ xname }) => xname) }
  const requested = { ...row, at: createdAt, event: 'requested' as const, operation, reason }
  await audit(pool, { ...requested, detail: targets })
  const accepted = await createTransition(pool, {
    request,
    tasks,
    idempotencyKey: call.idempotencyKey,
    createdAt,
    expiresAt: new Date(createdAt.getTime() + settings.retentionHours * 3_600_000),
  })
  const { transitionId: transitionID, isNew } = accepted
  const outcome = isNew ? 'stored' : 'the same as before'
  const decided = { ...row, at: now(), event: 'accepted' as const, operation, reason, outcome }
  await audit(pool, { ...decided, workId: transitionID })
  if (isNew) tell(transitionID, call, { ...context, request, targets: tasks.length })
  return {
    status: settings.pcsCompatible ? 200 : 202,
    location: `/transitions/${transitionID}`,
    body: { transitionID, operation: accepted.operation },
  }
}

function checkRights({ user }: Call, request: TransitionRequest): void {
  if (user === undefined) return
  requireRight(user, rightFor(request.operation))
  if (request.forced) requireRight(user, 'force')
  if (request.override) requireRight(user, 'override')
}

/** The tasks, with those ended that may not be done. */
async function plan(
  request: TransitionRequest,
  { components, settings, pool, protections }: TransitionContext,
): Promise<PlannedTask[]> {
  if (request.recursive) {
    await components.learn(request.xnames, AbortSignal.timeout(settings.statusSeconds * 1000))
  }
  const tasks = planTransition(request, components)
  const takes = takesPower(request.operation)
  const asksJobs = takes && settings.runningJobs === 'refuse' && !request.allowRunningJobs
  const xnames = new Set(tasks.map(({ xname }) => xname))
  const jobs = jobsWithin(asksJobs ? await runningJobs(pool) : [], xnames)
  const guarded = { takesPower: takes, protections: request.override ? [] : protections() }
  return refuseTasks(tasks, (xname) => {
    const job = jobs.get(xname)
    return protectionOf(xname, guarded) ?? (job && jobFault(job))
  })
}

interface Told extends TransitionContext {
  request: TransitionRequest
  targets: number
}

function tell(transition_id: string, { user }: Call, context: Told): void {
  const { metrics, log, wake, targets, request } = context
  const { operation } = request
  metrics.accepted.inc({ operation })
  log.info({ transition_id, operation, targets, user: user?.name }, 'transition accepted')
  wake()
}
