import type { Pool, PoolClient } from 'pg'
import { inTransaction } from '../postgres/transaction.ts'
import { heldNodes } from './allocation.ts'
import type { EventDetail, JobEvent } from './events.ts'
import { type Run, runsOf } from './run.ts'

/**
 * Stores events and brings the runs and allocations of their jobs up to date, in one transaction.
 * The result depends on which events were ever told, not on their order, nor how often. Returns
 * the nodes of these jobs that the topology does not know, in order.
 */
export function recordEvents(pool: Pool, events: readonly JobEvent[]): Promise<string[]> {
  return inTransaction(pool, async (client) => {
    // One writer at a time: batches may tell of the same jobs in any order.
    await client.query(lockJobs)
    await insertEvents(client, events)
    const runs = byJob(await selectEvents(client, events)).flatMap(runsOf)
    await writeRuns(client, runs)
    return selectUnmapped(client, runs)
  })
}

/** Held by whoever writes jobs, allocations or the topology, until its transaction ends. */
export const lockJobs = `select pg_advisory_xact_lock(hashtext('joulebridge jobs'))`

/** Of two reports of one event the one that says more stays: an order without ties. */
async function insertEvents(client: PoolClient, events: readonly JobEvent[]): Promise<void> {
  await client.query(
    `insert into job_event (cluster, job_id, time, type, detail)
     select distinct on (e.cluster, e.job_id, e.time, e.type)
       e.cluster, e.job_id, e.time, e.type, e.detail
     from jsonb_to_recordset($1)
       as e (cluster text, job_id int8, time timestamptz, type text, detail jsonb)
     order by e.cluster, e.job_id, e.time, e.type, e.detail desc
     on conflict (cluster, job_id, time, type) do update set detail = excluded.detail
     where excluded.detail > job_event.detail`,
    [JSON.stringify(events)],
  )
}

/** All events ever told of the jobs that `told` tells of, job by job. */
async function selectEvents(client: PoolClient, told: readonly JobEvent[]): Promise<JobEvent[]> {
  const { rows } = await client.query<EventRow>(
    `select e.cluster, e.job_id, e.time, e.type, e.detail
     from job_event e
     where (e.cluster, e.job_id) in (select * from unnest($1::text[], $2::int8[]))
     order by e.cluster, e.job_id`,
    [told.map(({ cluster }) => cluster), told.map(({ job_id }) => job_id)],
  )
  return rows.map((row) => ({ ...row, job_id: Number(row.job_id) }))
}

interface EventRow extends Omit<JobEvent, 'job_id' | 'detail'> {
  job_id: string
  detail: EventDetail
}

/** Splits where the job changes. */
function byJob(events: readonly JobEvent[]): JobEvent[][] {
  const jobs: JobEvent[][] = []
  for (const event of events) {
    const last = jobs.at(-1)
    if (last?.[0]?.job_id === event.job_id && last[0].cluster === event.cluster) last.push(event)
    else jobs.push([event])
  }
  return jobs
}

async function writeRuns(client: PoolClient, runs: readonly Run[]): Promise<void> {
  const rows = JSON.stringify(runs.map(toRow))
  await client.query(deleteRuns, [rows])
  await client.query(upsertRuns, [rows])
  await client.query(deleteAllocations, [rows])
  await client.query(upsertAllocations, [rows])
}

function toRow({ cluster, job_id, startedAt, endedAt, start, end }: Run) {
  const { nodelist = '', cpus_per_node, user, uid, ...facts } = start
  return {
    ...facts,
    ...end,
    cluster,
    job_id,
    started_at: startedAt,
    ended_at: endedAt,
    user_name: user,
    user_id: uid,
    nodelist,
    source: start.source ?? 'event',
    nodes: heldNodes(nodelist, cpus_per_node),
  }
}

/** A start that turned out to be earlier than thought replaces its run. */
const deleteRuns = `
  with run as (
    select r.cluster, r.job_id, r.started_at
    from jsonb_to_recordset($1) as r (cluster text, job_id int8, started_at timestamptz)
  )
  delete from job j
  where (j.cluster, j.job_id) in (select r.cluster, r.job_id from run r)
    and (j.cluster, j.job_id, j.started_at) not in
      (select r.cluster, r.job_id, r.started_at from run r)`

const upsertRuns = `
  insert into job (
    cluster, job_id, submitted_at, started_at, ended_at, state, exit_code, user_name, user_id,
    account, partition, name, restart_count, array_job_id, array_task_id, het_job_id,
    het_job_offset, nodelist, source)
  select r.cluster, r.job_id, r.submitted_at, r.started_at, r.ended_at, r.state, r.exit_code,
    r.user_name, r.user_id, r.account, r.partition, r.name, r.restart_count, r.array_job_id,
    r.array_task_id, r.het_job_id, r.het_job_offset, r.nodelist, r.source
  from jsonb_to_recordset($1) as r (
    cluster text, job_id int8, submitted_at timestamptz, started_at timestamptz,
    ended_at timestamptz, state text, exit_code text, user_name text, user_id int8, account text,
    partition text, name text, restart_count int4, array_job_id int8, array_task_id int8,
    het_job_id int8, het_job_offset int4, nodelist text, source text)
  on conflict (cluster, job_id, started_at) do update set
    submitted_at = excluded.submitted_at, ended_at = excluded.ended_at, state = excluded.state,
    exit_code = excluded.exit_code, user_name = excluded.user_name, user_id = excluded.user_id,
    account = excluded.account, partition = excluded.partition, name = excluded.name,
    restart_count = excluded.restart_count, array_job_id = excluded.array_job_id,
    array_task_id = excluded.array_task_id, het_job_id = excluded.het_job_id,
    het_job_offset = excluded.het_job_offset, nodelist = excluded.nodelist,
    source = excluded.source`

const deleteAllocations = `
  with held as (
    select j.id as run, h.node
    from jsonb_to_recordset($1)
      as r (cluster text, job_id int8, started_at timestamptz, nodes jsonb)
    join job j on (r.cluster, r.job_id, r.started_at) = (j.cluster, j.job_id, j.started_at)
    left join lateral jsonb_to_recordset(r.nodes) as h (node text) on true
  )
  delete from allocation a
  where a.run in (select h.run from held h)
    and not exists (select from held h where h.run = a.run and h.node = a.node)`

/** A place once known stays: the topology may have changed since. */
const upsertAllocations = `
  insert into allocation (run, node, xname, started_at, ended_at, cores, node_cores)
  select j.id, h.node, coalesce(h.xname, n.xname), j.started_at, j.ended_at, h.cores, n.cores
  from jsonb_to_recordset($1)
    as r (cluster text, job_id int8, started_at timestamptz, nodes jsonb)
  join job j on (r.cluster, r.job_id, r.started_at) = (j.cluster, j.job_id, j.started_at)
  cross join lateral jsonb_to_recordset(r.nodes) as h (node text, xname text, cores int4)
  left join lateral (
    select n.xname, n.cores
    from node n
    where n.key = node_key(h.node) or n.xname = h.xname
    order by n.key
    limit 1
  ) n on true
  on conflict (run, node, started_at) do update set
    xname = coalesce(allocation.xname, excluded.xname),
    ended_at = excluded.ended_at,
    cores = excluded.cores,
    node_cores = coalesce(allocation.node_cores, excluded.node_cores)
  where (allocation.xname, allocation.ended_at, allocation.cores, allocation.node_cores)
    is distinct from (excluded.xname, excluded.ended_at, excluded.cores, excluded.node_cores)`

async function selectUnmapped(client: PoolClient, runs: readonly Run[]): Promise<string[]> {
  const { rows } = await client.query<{ node: string }>(
    `select distinct a.node
     from job j
     join allocation a on a.run = j.id
     where a.xname is null
       and (j.cluster, j.job_id) in (select * from unnest($1::text[], $2::int8[]))
     order by a.node`,
    [runs.map(({ cluster }) => cluster), runs.map(({ job_id }) => job_id)],
  )
  return rows.map(({ node }) => node)
}
