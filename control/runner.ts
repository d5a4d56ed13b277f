import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import pLimit from 'p-limit'
import type { Logger } from '../exporter/service/log.ts'
import { type CancelledTask, cancelTasks, listAborted } from './abort.ts'
import { type ClaimedTask, claimTasks, releaseTasks, renewLeases } from './claim.ts'
import { confirmByTelemetry } from './measured.ts'
import { deleteExpired, endTransitions } from './queue.ts'
import type { ControlSettings } from './settings.ts'
import { hasEnded, type Task } from './task.ts'
import { rampOf } from './transition-settings.ts'
import { type Assignment, type WorkContext, workOn } from './work.ts'

export interface RunnerOptions
  extends Omit<WorkContext, 'lease' | 'confirmSeconds' | 'keeping' | 'hurry'> {
  log: Logger
  settings: Pick<
    ControlSettings,
    'confirmSeconds' | 'claimSeconds' | 'leaseSeconds' | 'openTasks' | 'ramp'
  >
}

/** How long a command that is on its way may take when we close. */
const closeSeconds = 5
const purgeSeconds = 60
/** In looks at a device. */
const followEvery = 5

/**
 * Works on tasks of all processes: claims them, keeps its leases, and leaves what it cannot end
 * to be claimed again. All it knows is in the database; to die is to be slow.
 */
export class Runner {
  readonly #options: RunnerOptions
  readonly #context: WorkContext
  readonly #hurry = new AbortController()
  readonly #assignments = new Map<string, Assignment>()
  readonly #running = new Set<Promise<void>>()
  readonly #loop: Promise<void>
  #pause = new AbortController()
  #closing = false
  #renewAt = 0
  #purgeAt = 0
  #followAt = 0
  #fault: string | undefined

  constructor(options: RunnerOptions) {
    const { confirmSeconds, leaseSeconds } = options.settings
    const lease = { owner: randomUUID(), seconds: leaseSeconds }
    // Every command on its way listens to it.
    setMaxListeners(0, this.#hurry.signal)
    this.#options = options
    const keeping = pLimit(Math.ceil(options.pool.options.max / 2))
    this.#context = { ...options, lease, confirmSeconds, keeping, hurry: this.#hurry.signal }
    this.#loop = this.#run()
  }

  /** There is new work, or a transition was aborted: look at once. */
  wake(): void {
    this.#pause.abort()
  }

  /** Lets a command that is on its way come back, and leaves all tasks to be resumed. */
  async close(): Promise<void> {
    this.#closing = true
    this.wake()
    for (const { interrupt } of this.#assignments.values()) interrupt.abort()
    const hurry = setTimeout(() => this.#hurry.abort(), closeSeconds * 1000)
    await this.#loop
    await Promise.all(this.#running)
    clearTimeout(hurry)
  }

  async #run(): Promise<void> {
    while (!this.#closing) {
      this.#pause = new AbortController()
      await this.#round().then(
        () => this.#recovered(),
        (error: unknown) => this.#failed(error),
      )
      const { signal } = this.#pause
      await sleep(this.#options.settings.claimSeconds * 1000, undefined, { signal }).catch(() => {})
    }
  }

  async #round(): Promise<void> {
    await this.#renew()
    await this.#passAborts()
    await this.#claim()
    await this.#purge()
    await this.#follow()
  }

  async #claim(): Promise<void> {
    const { pool, lease } = this.#context
    const free = this.#options.settings.openTasks - this.#assignments.size
    if (free === 0 || this.#closing) return
    const { now, settings } = this.#options
    const limits = { limit: free, ramp: rampOf(settings.ramp), now: now() }
    for (const claimed of await claimTasks(pool, lease, limits)) this.#assign(claimed)
  }

  async #renew(): Promise<void> {
    const { pool, lease } = this.#context
    if (performance.now() < this.#renewAt || this.#assignments.size === 0) return
    const before = [...this.#assignments]
    const ours = await renewLeases(pool, lease, [...this.#assignments.keys()])
    this.#renewAt = performance.now() + (lease.seconds * 1000) / 3
    for (const [taskId, assignment] of before) if (!ours.has(taskId)) lose(assignment)
  }

  /** Whoever comes first cancels all that has no command on its way. */
  async #passAborts(): Promise<void> {
    const { pool, now } = this.#context
    const aborted = await listAborted(pool)
    if (aborted.size === 0) return
    this.#cancelled(await cancelTasks(pool, now()))
    this.#renewAt = 0
    await this.#renew()
    for (const assignment of this.#assignments.values()) {
      if (assignment.isLost || !aborted.has(assignment.claimed.transitionId)) continue
      assignment.aborted = true
      assignment.interrupt.abort()
    }
  }

  async #purge(): Promise<void> {
    if (performance.now() < this.#purgeAt) return
    this.#purgeAt = performance.now() + purgeSeconds * 1000
    const deleted = await deleteExpired(this.#context.pool, this.#options.now())
    if (deleted > 0) this.#options.log.info({ deleted }, 'expired transitions removed')
  }

  /** What has ended: measured power comes some time after the state, and ends nothing. */
  async #follow(): Promise<void> {
    if (performance.now() < this.#followAt) return
    const { pool, metrics, now, confirmSeconds } = this.#context
    this.#followAt = performance.now() + followEvery * confirmSeconds * 1000
    const at = now()
    await confirmByTelemetry(pool, at)
    for (const { operation, outcome, created_at } of await endTransitions(pool, at)) {
      metrics.transitionsEnded.inc({ operation, outcome })
      metrics.transitionDuration.observe(
        { operation },
        (at.getTime() - created_at.getTime()) / 1000,
      )
    }
  }

  #assign(claimed: ClaimedTask): void {
    const { aborted, steps } = claimed
    // We stalled, and our own lease ran out: what we knew of the task may be old.
    const stale = this.#assignments.get(claimed.taskId)
    if (stale) {
      stale.interrupt.abort()
      return
    }
    const interrupt = new AbortController()
    const assignment = { ...this.#context, claimed, aborted, isLost: false, steps, interrupt }
    if (aborted || this.#closing) assignment.interrupt.abort()
    this.#assignments.set(claimed.taskId, assignment)
    const running: Promise<void> = this.#work(assignment).finally(() => {
      this.#running.delete(running)
    })
    this.#running.add(running)
  }

  /** One task that fails must not stop the others: it is left, and claimed when its lease ends. */
  async #work(assignment: Assignment): Promise<void> {
    const { claimed, metrics, pool, lease } = assignment
    const { log } = this.#options
    const { taskId, xname, transitionId: transition_id } = claimed
    const startedAt = performance.now()
    metrics.tasksInFlight.inc()
    try {
      const task = await workOn(assignment)
      if (task && hasEnded(task.state)) {
        this.#ended(task, claimed, (performance.now() - startedAt) / 1000)
      }
      if (task === undefined && !assignment.isLost) await releaseTasks(pool, lease, [taskId])
      // It was another's turn, or is its own again.
      if (task && (task.hasParents || task.hasChildren || !hasEnded(task.state))) this.wake()
    } catch (error) {
      log.warn({ error, xname, transition_id }, 'task left for now')
    } finally {
      metrics.tasksInFlight.dec()
      this.#assignments.delete(taskId)
    }
  }

  #ended(task: Task, { xname, transitionId }: ClaimedTask, seconds: number): void {
    const { metrics, exporters } = this.#context
    if (task.command !== 'none') exporters.poll(xname)
    const { operation, state: outcome, description, error } = task
    metrics.tasks.inc({ operation, outcome })
    metrics.taskDuration.observe({ operation }, seconds)
    const fields = { xname, transition_id: transitionId, operation, outcome, description, error }
    const { log } = this.#options
    const level = outcome === 'succeeded' ? 'debug' : 'warn'
    log[level]({ ...fields, duration_seconds: seconds }, 'task ended')
  }

  #cancelled(tasks: readonly CancelledTask[]): void {
    const { metrics, exporters } = this.#context
    const counts = new Map<string, number>()
    for (const { transitionId, xname, operation, command } of tasks) {
      metrics.tasks.inc({ operation, outcome: 'cancelled' })
      if (command !== 'none') exporters.poll(xname)
      counts.set(transitionId, (counts.get(transitionId) ?? 0) + 1)
    }
    const { log } = this.#options
    for (const [transition_id, cancelled] of counts) {
      log.info({ transition_id, cancelled }, 'tasks of an aborted transition cancelled')
    }
  }

  /** The database is away: said once, and once when it is back. */
  #failed(error: unknown): void {
    const fault = String(error)
    if (fault !== this.#fault) this.#options.log.error({ error }, 'cannot claim tasks')
    this.#fault = fault
  }

  #recovered(): void {
    if (this.#fault !== undefined) this.#options.log.info({}, 'claiming tasks again')
    this.#fault = undefined
  }
}

/** Nothing of it is kept any more. */
function lose(assignment: Assignment): void {
  assignment.isLost = true
  assignment.interrupt.abort()
}
