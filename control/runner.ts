import pLimit from 'p-limit'
import type { Logger } from '../exporter/service/log.ts'
import { type CancelledTask, cancelTasks, listAborted } from './abort.ts'
import { type ClaimedTask, claimTasks, releaseTask, renewLeases } from './claim.ts'
import { ClaimLoop, type LoopSettings } from './claim-loop.ts'
import type { Draws } from './draw.ts'
import { confirmByTelemetry } from './measured.ts'
import type { ControlMetrics } from './metrics.ts'
import { deleteExpired, endTransitions } from './queue.ts'
import type { ControlSettings } from './settings.ts'
import { hasEnded } from './task.ts'
import { type WorkContext, workOn } from './work.ts'

export interface RunnerOptions extends Omit<WorkContext, 'confirmSeconds' | 'keeping' | 'aborted'> {
  log: Logger
  metrics: ControlMetrics
  draws: Draws
  settings: Pick<ControlSettings, 'confirmSeconds' | 'ramp'> & LoopSettings
}

const purgeSeconds = 60
/** In looks at a device. */
const followEvery = 5

/** Works on the tasks of all processes. */
export function startRunner(options: RunnerOptions): ClaimLoop<ClaimedTask> {
  const { pool, exporters, metrics, log, now, settings, draws } = options
  const { confirmSeconds } = settings
  const { nodesPerMinute, wattsPerMinute } = settings.ramp
  const isLimited = nodesPerMinute !== undefined || wattsPerMinute !== undefined
  const ramp = isLimited ? { settings: settings.ramp, draws } : undefined
  let aborted: ReadonlySet<string> = new Set()
  const keeping = pLimit(Math.ceil(pool.options.max / 2))
  const context = { ...options, confirmSeconds, keeping, aborted: () => aborted }
  /** Whoever comes first cancels all that has no command on its way. */
  const passAborts = async () => {
    aborted = await listAborted(pool)
    if (aborted.size === 0) return
    tellCancelled(await cancelTasks(pool, now()), options)
    await loop.interrupt(({ transitionId }) => aborted.has(transitionId))
  }
  const purge = async () => {
    const deleted = await deleteExpired(pool, now())
    if (deleted > 0) log.info({ deleted }, 'expired transitions removed')
  }
  const loop = new ClaimLoop<ClaimedTask>(
    {
      name: 'task',
      metrics,
      chores: [
        { name: 'remove expired transitions', everySeconds: purgeSeconds, run: purge },
        {
          name: 'note ended transitions',
          everySeconds: followEvery * confirmSeconds,
          run: () => follow(options),
        },
      ],
      beforeClaims: passAborts,
      claim: (lease, limit) => claimTasks(pool, lease, { limit, ramp, now: now() }),
      renew: (lease, ids) => renewLeases(pool, lease, ids),
      release: (lease, id) => releaseTask(pool, lease, id),
      async workOn(claimed, hold) {
        const task = await workOn({ ...context, ...hold, claimed })
        if (task && hasEnded(task.state) && task.command !== 'none') exporters.poll(claimed.xname)
        // It was another's turn, or is its own again.
        if (task && (task.hasParents || task.hasChildren || !hasEnded(task.state))) loop.wake()
        return task
      },
      kindOf: ({ task }) => task.operation,
      fieldsOf: ({ transitionId, task }) => {
        return { transition_id: transitionId, operation: task.operation }
      },
    },
    options,
  )
  return loop
}

/** What has ended: measured power comes some time after the state, and ends nothing. */
async function follow({ pool, metrics, now }: RunnerOptions): Promise<void> {
  const at = now()
  await confirmByTelemetry(pool, at)
  for (const { operation, outcome, created_at } of await endTransitions(pool, at)) {
    metrics.transitionsEnded.inc({ operation, outcome })
    const seconds = (at.getTime() - created_at.getTime()) / 1000
    metrics.transitionDuration.observe({ operation }, seconds)
  }
}

function tellCancelled(
  tasks: readonly CancelledTask[],
  { metrics, exporters, log }: RunnerOptions,
): void {
  const counts = new Map<string, number>()
  for (const { transitionId, xname, operation, command } of tasks) {
    metrics.ended.inc({ operation, outcome: 'cancelled' })
    if (command !== 'none') exporters.poll(xname)
    counts.set(transitionId, (counts.get(transitionId) ?? 0) + 1)
  }
  for (const [transition_id, cancelled] of counts) {
    log.info({ transition_id, cancelled }, 'tasks of an aborted transition cancelled')
  }
}
