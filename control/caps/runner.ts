import pLimit, { type LimitFunction } from 'p-limit'
import type { Logger } from '../../exporter/service/log.ts'
import { ClaimLoop, type LoopSettings } from '../claim-loop.ts'
import type { WorkMetrics } from '../metrics.ts'
import {
  type ClaimedCap,
  claimCaps,
  deleteExpiredCaps,
  finishCap,
  releaseCap,
  renewCaps,
} from './store.ts'
import { type CapWork, workOnCap } from './work.ts'

export interface CapRunnerOptions extends CapWork {
  log: Logger
  metrics: WorkMetrics
  settings: CapWork['settings'] & LoopSettings
}

const purgeSeconds = 60

/** Works on the power limits that any process has accepted. */
export function startCapRunner(options: CapRunnerOptions): ClaimLoop<ClaimedCap> {
  const { pool, metrics, now } = options
  const inTurn = turns()
  return new ClaimLoop<ClaimedCap>(
    {
      name: 'power limit',
      metrics,
      chores: [
        {
          name: 'remove expired power limits',
          everySeconds: purgeSeconds,
          run: () => deleteExpiredCaps(pool, now()),
        },
      ],
      claim: (lease, most) => claimCaps(pool, lease, most),
      renew: (lease, ids) => renewCaps(pool, lease, ids),
      release: (lease, id) => releaseCap(pool, lease, id),
      workOn: (claimed, hold) =>
        inTurn(claimed.device, async () => {
          const ended = await workOnCap({ ...options, ...hold, claimed })
          if (ended === undefined) return undefined
          const isOurs = await finishCap(pool, hold.lease, { claimed, at: now(), ended })
          return isOurs ? ended : undefined
        }),
      kindOf: ({ type }) => type,
      fieldsOf: ({ taskId, type }) => ({ task_id: taskId, type }),
    },
    options,
  )
}

/** Requests for one device are worked on in the order in which they came. */
function turns() {
  const limits = new Map<string, LimitFunction>()
  return async <T>(device: string, work: () => Promise<T>): Promise<T> => {
    const limit = limits.get(device) ?? pLimit(1)
    limits.set(device, limit)
    try {
      return await limit(work)
    } finally {
      if (limit.activeCount + limit.pendingCount === 0) limits.delete(device)
    }
  }
}
