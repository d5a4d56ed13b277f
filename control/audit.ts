import type { PoolClient } from 'pg'

/** Something that was asked for or done; what is left out is not known or does not apply. */
export interface AuditEntry {
  at: Date
  /** `requested` and `sent` are written before what they tell of, so that a crash hides nothing. */
  event: AuditEvent
  user?: string | undefined
  /** Where the request came from. */
  address?: string | undefined
  requestId?: string | undefined
  operation?: string | undefined
  reason?: string | undefined
  /** The transition, or the task of power limits. */
  workId?: string | undefined
  xname?: string | undefined
  /** Such as `On`, or limits in watts. */
  before?: string | undefined
  after?: string | undefined
  /** Method, path and body as they leave for the device; never a login. */
  sent?: string | undefined
  outcome?: string | undefined
  detail?: object | undefined
}

export const auditEvents = ['requested', 'accepted', 'refused', 'aborted', 'sent', 'ended'] as const
export type AuditEvent = (typeof auditEvents)[number]

/** A pool, or a connection within a transaction: then the rows come with what they tell of. */
export type AuditClient = Pick<PoolClient, 'query'>

const columns = `at, event, user_name, address, request_id, operation, reason, work_id, xname,
  state_before, state_after, sent, outcome, detail`

const insertSql = `
  insert into audit (${columns})
  select * from unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::uuid[],
    $6::text[], $7::text[], $8::uuid[], $9::text[], $10::text[], $11::text[], $12::text[],
    $13::text[], $14::jsonb[])`

/** Adds rows to the audit, which the database never lets go again. */
export async function audit(
  client: AuditClient,
  entries: AuditEntry | readonly AuditEntry[],
): Promise<void> {
  const rows = isOne(entries) ? [entries] : entries
  if (rows.length === 0) return
  const column = (pick: (entry: AuditEntry) => unknown) => rows.map((row) => pick(row) ?? null)
  await client.query(insertSql, [
    column(({ at }) => at),
    column(({ event }) => event),
    column(({ user }) => user),
    column(({ address }) => address),
    column(({ requestId }) => requestId),
    column(({ operation }) => operation),
    column(({ reason }) => reason),
    column(({ workId }) => workId),
    column(({ xname }) => xname),
    column(({ before }) => before),
    column(({ after }) => after),
    column(({ sent }) => sent),
    column(({ outcome }) => outcome),
    column(({ detail }) => detail && JSON.stringify(detail)),
  ])
}

function isOne(entries: AuditEntry | readonly AuditEntry[]): entries is AuditEntry {
  return 'at' in entries && 'event' in entries
}

/** A row as the API shows it: without what it does not have. */
export type AuditRecord = { auditID: string; time: Date; event: AuditEvent } & Record<
  string,
  unknown
>

export interface AuditQuery {
  xname?: string | undefined
  workId?: string | undefined
  user?: string | undefined
  from?: Date | undefined
  to?: Date | undefined
  /** Only rows before this one. */
  before?: string | undefined
  limit: number
}

const listSql = `
  select audit_id as "auditID", at as time, event, user_name as user, address,
    request_id as "requestID", operation, reason, work_id as "workID", xname,
    state_before as before, state_after as after, sent, outcome, detail
  from audit
  where ($1::text is null or xname = $1) and ($2::uuid is null or work_id = $2)
    and ($3::text is null or user_name = $3)
    and ($4::timestamptz is null or at >= $4) and ($5::timestamptz is null or at < $5)
    and ($6::bigint is null or audit_id < $6)
  order by audit_id desc
  limit $7`

/** The newest first. */
export async function listAudit(client: AuditClient, query: AuditQuery): Promise<AuditRecord[]> {
  const { xname, workId, user, from, to, before, limit } = query
  const values = [xname, workId, user, from, to, before].map((value) => value ?? null)
  const { rows } = await client.query<AuditRecord>(listSql, [...values, limit])
  return rows.map(withoutNulls)
}

/** What the database does not have is not shown at all. */
export function withoutNulls<T extends object>(row: T): T {
  return Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null)) as T
}
