import { randomUUID } from 'node:crypto'
import type { Pool, PoolClient } from 'pg'
import { RequestError } from '../../exporter/service/request-error.ts'
import { inTransaction } from '../../remote-write/postgres/transaction.ts'
import { audit } from '../audit.ts'
import type { Lease } from '../claim-loop.ts'
import type { CapRequest } from '../request.ts'
import type { WantedLimits } from './limit.ts'
import type { PlannedCap } from './request.ts'

export interface NewCap {
  request: CapRequest
  components: readonly PlannedCap[]
  idempotencyKey: string | undefined
  createdAt: Date
  expiresAt: Date
  /** Who asked, from where, and why. */
  user: string
  address: string | undefined
  requestId: string
}

export interface AcceptedCap {
  taskId: string
  /** False when the same request had come before, with the same key. */
  isNew: boolean
}

/**
 * Stores a request for power limits with its components and its audit, all or nothing; when it
 * answers they are durable.
 * @throws {RequestError} 422 when the idempotency key was used for another request.
 */
export async function createCap(pool: Pool, cap: NewCap): Promise<AcceptedCap> {
  return await inTransaction(pool, async (client) => {
    const taskId = await insertCap(client, cap)
    if (taskId === undefined) return { taskId: await findRepeated(client, cap), isNew: false }
    await insertComponents(client, taskId, cap)
    const { request, createdAt: at, user, address, requestId } = cap
    const { type: operation, reason } = request
    const detail = { components: cap.components.map(({ xname, wanted }) => ({ xname, wanted })) }
    await audit(client, {
      at,
      event: 'accepted',
      user,
      address,
      requestId,
      operation,
      reason,
      workId: taskId,
      detail,
    })
    return { taskId, isNew: true }
  })
}

const insertCapSql = `
  insert into power_cap (cap_id, type, created_at, expires_at, user_name, reason, request_id,
    idempotency_key, request_digest)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
  on conflict (idempotency_key) do nothing
  returning cap_id`

async function insertCap(client: PoolClient, cap: NewCap): Promise<string | undefined> {
  const { request, createdAt, expiresAt, user, requestId, idempotencyKey } = cap
  const { rows } = await client.query<{ cap_id: string }>(insertCapSql, [
    randomUUID(),
    request.type,
    createdAt,
    expiresAt,
    user,
    request.reason ?? null,
    requestId,
    idempotencyKey ?? null,
    request.digest,
  ])
  return rows[0]?.cap_id
}

const findRepeatedSql = `
  select cap_id, request_digest = $2 as same from power_cap where idempotency_key = $1`

async function findRepeated(
  client: PoolClient,
  { request, idempotencyKey }: NewCap,
): Promise<string> {
  const { rows } = await client.query<{ cap_id: string; same: boolean }>(findRepeatedSql, [
    idempotencyKey,
    request.digest,
  ])
  const [found] = rows
  if (found?.same) return found.cap_id
  const message = `Idempotency-Key ${JSON.stringify(idempotencyKey)} was used for another request`
  throw new RequestError(422, 'idempotency_key_reused', message)
}

const insertComponentsSql = `
  insert into power_cap_component (cap_id, xname, device, wanted, state, error, ended_at)
  select $1::uuid, xname, device, wanted, state, error,
    case when state <> 'new' then $7::timestamptz end
  from unnest($2::text[], $3::text[], $4::jsonb[], $5::text[], $6::text[]) with ordinality
    as planned (xname, device, wanted, state, error, position)
  order by position`

async function insertComponents(
  client: PoolClient,
  taskId: string,
  { components, createdAt }: NewCap,
): Promise<void> {
  await client.query(insertComponentsSql, [
    taskId,
    components.map(({ xname }) => xname),
    components.map(({ device }) => device ?? null),
    components.map(({ wanted }) => (wanted ? JSON.stringify(wanted) : null)),
    components.map(({ state }) => state),
    components.map(({ error }) => error ?? null),
    createdAt,
  ])
}

/** A component that this process has a lease on. */
export interface ClaimedCap {
  id: string
  taskId: string
  type: 'snapshot' | 'patch'
  xname: string
  device: string
  /** Undefined for a snapshot. */
  wanted: WantedLimits | undefined
  expiresAt: Date
}

/** At most this many components of one device are taken at a time; they go one after the other. */
const claimSql = `
  with claimable as (
    select component_id from power_cap_component as component
    where state in ('new', 'in-progress')
      and (lease_until is null or lease_until <= now())
      and not exists (
        select from power_cap_component as other
        where other.device = component.device and other.lease_until > now()
          and other.lease_owner <> $1)
    order by component_id
    limit $3
    for update skip locked
  )
  update power_cap_component as component
  set state = 'in-progress', lease_owner = $1, lease_until = now() + make_interval(secs => $2)
  from claimable, power_cap
  where component.component_id = claimable.component_id and power_cap.cap_id = component.cap_id
  returning component.component_id as id, component.cap_id as "taskId", type, xname, device,
    wanted, expires_at as "expiresAt"`

/** Chosen at random; no other part of Joulebridge uses this number. */
const claimLock = 2_028_007_008

/** Takes up to `limit` open components that nobody works on; those of one device to one process. */
export async function claimCaps(pool: Pool, lease: Lease, limit: number): Promise<ClaimedCap[]> {
  return await inTransaction(pool, async (client) => {
    await client.query('select pg_advisory_xact_lock($1)', [claimLock])
    const values = [lease.owner, lease.seconds, limit]
    const { rows } = await client.query<ClaimedRow>(claimSql, values)
    rows.sort((a, b) => Number(a.id) - Number(b.id))
    return rows.map((row) => ({ ...row, wanted: row.wanted ?? undefined }))
  })
}

type ClaimedRow = Omit<ClaimedCap, 'wanted'> & { wanted: WantedLimits | null }

const renewSql = `
  update power_cap_component set lease_until = now() + make_interval(secs => $2)
  where component_id = any ($3::bigint[]) and lease_owner = $1
  returning component_id`

/** Keeps the components; one that is not in the answer is another's by now, or has ended. */
export async function renewCaps(
  pool: Pool,
  { owner, seconds }: Lease,
  componentIds: readonly string[],
): Promise<Set<string>> {
  type Row = { component_id: string }
  const { rows } = await pool.query<Row>(renewSql, [owner, seconds, componentIds])
  return new Set(rows.map(({ component_id }) => component_id))
}

const releaseSql = `
  update power_cap_component set lease_owner = null, lease_until = null
  where component_id = $2 and lease_owner = $1`

/** Leaves a component to whoever claims it next. */
export async function releaseCap(pool: Pool, lease: Lease, componentId: string): Promise<void> {
  await pool.query(releaseSql, [lease.owner, componentId])
}

const recordSentSql = `
  update power_cap_component set sent_at = $3 where component_id = $1 and lease_owner = $2`

/** Written before limits leave for the device. False when the component is another's by now. */
export async function recordSent(
  pool: Pool,
  lease: Lease,
  { claimed, at, sent, before }: { claimed: ClaimedCap; at: Date; sent: string; before: string },
): Promise<boolean> {
  const { id, taskId: workId, xname, type: operation } = claimed
  return await inTransaction(pool, async (client) => {
    const { rowCount } = await client.query(recordSentSql, [id, lease.owner, at])
    if (rowCount !== 1) return false
    await audit(client, { at, event: 'sent', operation, workId, xname, before, sent })
    return true
  })
}

export interface EndedCap {
  state: 'succeeded' | 'failed' | 'unsupported'
  error?: string | undefined
  /** Undefined where nothing could be read. */
  shown?: { limits: object; powerCapLimits: readonly object[] } | undefined
  before?: string | undefined
  after?: string | undefined
}

const finishSql = `
  update power_cap_component
  set state = $3, error = $4, limits = $5, controls = $6, operations = $7, ended_at = $8,
    lease_owner = null, lease_until = null
  where component_id = $1 and lease_owner = $2`

/** Ends a component. False when it is another's by now. */
export async function finishCap(
  pool: Pool,
  lease: Lease,
  { claimed, at, ended }: { claimed: ClaimedCap; at: Date; ended: EndedCap },
): Promise<boolean> {
  const { id, taskId: workId, xname, type } = claimed
  const { state, error, shown, before, after } = ended
  // As PCS: a snapshot counts controls, a patch components.
  const operations = type === 'snapshot' ? Math.max(1, shown?.powerCapLimits.length ?? 0) : 1
  return await inTransaction(pool, async (client) => {
    const { rowCount } = await client.query(finishSql, [
      id,
      lease.owner,
      state,
      error ?? null,
      shown ? JSON.stringify(shown.limits) : null,
      shown ? JSON.stringify(shown.powerCapLimits) : null,
      operations,
      at,
    ])
    if (rowCount !== 1) return false
    if (type === 'patch') {
      const outcome = error === undefined ? state : `${state}: ${error}`
      const row = { at, event: 'ended' as const, operation: type, workId, xname, before, after }
      await audit(client, { ...row, outcome })
    }
    return true
  })
}

const deleteExpiredSql = `
  delete from power_cap
  where expires_at < $1
    and not exists (
      select from power_cap_component as component
      where component.cap_id = power_cap.cap_id and state in ('new', 'in-progress'))`

/** Removes ended records whose time is up; returns how many. Their audit stays. */
export async function deleteExpiredCaps(pool: Pool, now: Date): Promise<number> {
  return (await pool.query(deleteExpiredSql, [now])).rowCount ?? 0
}
