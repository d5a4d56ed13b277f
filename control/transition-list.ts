import type { Pool } from 'pg'
import { withoutNulls } from './audit.ts'
import type { TransitionSummary } from './records.ts'
import type { Position } from './request.ts'

export interface TransitionPage {
  limit: number
  /** The last of the page before. */
  after: Position | undefined
  status?: string | undefined
  xname?: string | undefined
  /** Created in [from, to). */
  from?: Date | undefined
  to?: Date | undefined
}

const listSql = `
  select transition_id as "transitionID", operation, created_at as "createTime",
    expires_at as "automaticExpirationTime", status as "transitionStatus",
    jsonb_build_object('total', total, 'new', new, 'in-progress', in_progress, 'failed', failed,
      'succeeded', succeeded, 'un-supported', unsupported) as "taskCounts",
    case when open > 0 then null when succeeded = total then 'succeeded'
      when succeeded > 0 then 'partial' else 'failed' end as result
  from transition_summary
  where ($2::timestamptz is null or (created_at, transition_id) < ($2, $3::uuid))
    and ($4::text is null or status = $4)
    and ($5::text is null or exists (
      select from task
      where task.transition_id = transition_summary.transition_id and task.xname = $5))
    and ($6::timestamptz is null or created_at >= $6)
    and ($7::timestamptz is null or created_at < $7)
  order by created_at desc, transition_id desc
  limit $1`

/** The newest first. */
export async function listTransitionPage(
  pool: Pool,
  { limit, after, status, xname, from, to }: TransitionPage,
): Promise<TransitionSummary[]> {
  const filters = [after?.at, after?.id, status, xname, from, to].map((value) => value ?? null)
  const { rows } = await pool.query<TransitionSummary>(listSql, [limit, ...filters])
  return rows.map(withoutNulls)
}
