import type { Pool } from 'pg'
import { RequestError } from '../../exporter/service/request-error.ts'
import { withoutNulls } from '../audit.ts'
import type { TaskCounts } from '../openapi/schema.ts'

/** A task of power limits as PCS shows it, and who asked for it; times are RFC 3339. */
export interface CapSummary {
  taskID: string
  type: 'snapshot' | 'patch'
  taskCreateTime: Date
  automaticExpirationTime: Date
  /** `completed` says only that it has ended. */
  taskStatus: 'new' | 'in-progress' | 'completed'
  taskCounts: TaskCounts
  user: string
  reason?: string
}

export interface CapComponent {
  xname: string
  error?: string
  limits?: object
  powerCapLimits?: readonly object[]
  /** What PCS does not tell. */
  state: string
  endTime?: Date
}

const summaryColumns = `
  select cap_id as "taskID", type, created_at as "taskCreateTime",
    expires_at as "automaticExpirationTime", status as "taskStatus",
    jsonb_build_object('total', total, 'new', new, 'in-progress', in_progress, 'failed', failed,
      'succeeded', succeeded, 'un-supported', unsupported) as "taskCounts",
    user_name as user, reason
  from power_cap_summary`

const listSql = `
  ${summaryColumns}
  where ($2::timestamptz is null or (created_at, cap_id) < ($2, $3::uuid))
  order by created_at desc, cap_id desc
  limit $1`

/** The newest first; `after` is the last of the page before. */
export async function listCaps(
  pool: Pool,
  { limit, after }: { limit: number; after: { at: Date; id: string } | undefined },
): Promise<CapSummary[]> {
  const values = [limit, after?.at ?? null, after?.id ?? null]
  return (await pool.query<CapSummary>(listSql, values)).rows.map(withoutNulls)
}

const getSql = `${summaryColumns} where cap_id = $1`

/** @throws {RequestError} 404 if there is no such task. */
export async function getCap(pool: Pool, taskId: string): Promise<CapSummary> {
  const [found] = (await pool.query<CapSummary>(getSql, [taskId])).rows
  if (!found) throw new RequestError(404, 'not_found', `power-cap task ${taskId} does not exist`)
  return withoutNulls(found)
}

const componentsSql = `
  select xname, error, limits, controls as "powerCapLimits", state, ended_at as "endTime"
  from power_cap_component where cap_id = $1 order by component_id`

/** A task's components, in the order of their places. */
export async function listCapComponents(pool: Pool, taskId: string): Promise<CapComponent[]> {
  return (await pool.query<CapComponent>(componentsSql, [taskId])).rows.map(withoutNulls)
}

const oldestOpenSql = `
  select extract(epoch from $1 - min(created_at))::float8 as seconds
  from power_cap_component join power_cap using (cap_id) where state in ('new', 'in-progress')`

/** Age of the oldest unfinished component in seconds; 0 when there is none. */
export async function oldestOpenCapSeconds(pool: Pool, now: Date): Promise<number> {
  const { rows } = await pool.query<{ seconds: number | null }>(oldestOpenSql, [now])
  return rows[0]?.seconds ?? 0
}
