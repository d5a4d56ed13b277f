import type { Pool, PoolClient } from 'pg'
import { inTransaction } from '../postgres/transaction.ts'
import { heldNodes, withAccelerators, withBusyCores } from './allocation.ts'
import type { EventDetail, JobEvent } from './events.ts'
import { unnamedCluster } from './label.ts'
import { type JobLabelRow, labelRuns } from './label-run.ts'
import { firstStarts, runsOf } from './merge.ts'
import type { Run, RunRow } from './run.ts'
import { writeSuspensions } from './suspension.ts'

/**
 * Stores events and brings the runs and allocations of their jobs up to date, in one transaction.
 * The result depends on which events were ever told, not on their order, nor how often. Returns
 * the nodes of these jobs that the topology does not know, in order. Runs that labels tell of give
 * way to those of events.
 */
export function recordEvents(
  pool: Pool,
  events: readonly JobEvent[],
  silenceSeconds: number,
): Promise<string[]> {
  return inTransaction(pool, async (client) => {
    // One writer at a time: batches may tell of the same jobs in any order.
    await client.query(lockJobs)
    await insertEvents(client, events)
    const jobs = byJob(await selectEvents(client, events)).map(runsOf)
    const runs = jobs.flat()
    await writeEventRuns(client, jobs.flatMap(toRows))
    await writeLabelRuns(client, runs.flatMap(jobIdsOf), silenceSeconds)
    return selectUnmapped(client, runs)
  })
}

function toRows(runs: readonly Run[]): RunRow[] {
  const firsts = firstStarts(runs)
  return runs.map((run, i) => toRow(run, firsts[i] ?? run.startedAt))
}

/** The numbers under which labels may tell of the run's job. */
function jobIdsOf({ job_id, start: { array_job_id, het_job_id } }: Run): number[] {
  return [job_id, array_job_id, het_job_id].filter((id) => id !== undefined)
}

/**
 * Brings the runs of these jobs that only labels tell of up to date, within a transaction that
 * holds the lock of jobs. A run that overlaps one that events tell of is left out, even if it only
 * comes near: exporters see a job begin and end later than its scheduler.
 */
export async function writeLabelRuns(
  client: PoolClient,
  jobIds: readonly number[],
  silenceSeconds: number,
): Promise<void> {
  const labelRows = await selectLabels(client, jobIds)
  if (labelRows.length === 0) return
  const runs = byJob(labelRows).flatMap((rows) => labelRuns(rows, silenceSeconds))
  const untold = await selectUntold(client, runs, silenceSeconds)
  await client.query(deleteLabelRuns, [jobIds, JSON.stringify(untold)])
  if (untold.length === 0) return
  await writeRuns(client, untold)
  await writeSteps(client, untold)
}

/** Held by whoever writes jobs, allocations or the topology, until its transaction ends. */
export const lockJobs = `select pg_advisory_xact_lock(hashtext('joulebridge jobs'))`

/**
 * Of two reports of a run the later one stays, unless only the other has an end; of two reports of
 * a start or an end the one that says more: an order without ties.
 */
async function insertEvents(client: PoolClient, events: readonly JobEvent[]): Promise<void> {
  await client.query(
    `insert into job_event (cluster, job_id, time, type, detail)
     select distinct on (e.cluster, e.job_id, e.time, e.type, e.detail ->> 'db_index')
       e.cluster, e.job_id, e.time, e.type, e.detail
     from jsonb_to_recordset($1)
       as e (cluster text, job_id int8, time timestamptz, type text, detail jsonb)
     order by e.cluster, e.job_id, e.time, e.type, e.detail ->> 'db_index',
       (e.detail ? 'ended_at') desc, e.detail ->> 'told_at' desc, e.detail desc
     on conflict (cluster, job_id, time, type, row_index) do update set detail = excluded.detail
     where (excluded.detail ? 'ended_at', coalesce(excluded.detail ->> 'told_at', ''),
         excluded.detail)
       > (job_event.detail ? 'ended_at', coalesce(job_event.detail ->> 'told_at', ''),
         job_event.detail)`,
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

async function selectLabels(client: PoolClient, jobIds: readonly number[]): Promise<JobLabelRow[]> {
  const { rows } = await client.query<Omit<JobLabelRow, 'job_id'> & { job_id: string }>(
    `select l.job_id, l.cluster, l.node, l.step, l.first_at, l.last_at, l.user_name, l.account,
       l.partition, l.open
     from job_label l
     where l.job_id = any ($1)
     order by l.job_id, l.cluster`,
    [jobIds],
  )
  return rows.map((row) => ({ ...row, job_id: Number(row.job_id) }))
}

/** Those of the runs that no event tells of. A cluster without a name may be any. */
async function selectUntold(
  client: PoolClient,
  runs: readonly RunRow[],
  silenceSeconds: number,
): Promise<RunRow[]> {
  if (runs.length === 0) return []
  const asked = runs.map(({ cluster, job_id, started_at, ended_at }, nth) => {
    return { nth, cluster, job_id, started_at, ended_at }
  })
  const { rows } = await client.query<{ nth: number }>(selectUntoldRuns, [
    JSON.stringify(asked),
    silenceSeconds,
    unnamedCluster,
  ])
  return rows.flatMap(({ nth }) => runs[nth] ?? [])
}

const selectUntoldRuns = `
  select r.nth
  from jsonb_to_recordset($1) as r (
    nth int4, cluster text, job_id int8, started_at timestamptz, ended_at timestamptz)
  where not exists (
    select from job j
    where (j.job_id = r.job_id or j.array_job_id = r.job_id or j.het_job_id = r.job_id)
      and j.source <> 'labels' and r.cluster in (j.cluster, $3)
      and (j.started_at - make_interval(secs => $2) <= r.ended_at or r.ended_at is null)
      and (j.ended_at + make_interval(secs => $2) >= r.started_at or j.ended_at is null))
  order by r.nth`

/** Splits where the job changes. */
function byJob<T extends { cluster: string; job_id: number }>(rows: readonly T[]): T[][] {
  const jobs: T[][] = []
  for (const row of rows) {
    const last = jobs.at(-1)
    if (last?.[0]?.job_id === row.job_id && last[0].cluster === row.cluster) last.push(row)
    else jobs.push([row])
  }
  return jobs
}

async function writeEventRuns(client: PoolClient, rows: readonly RunRow[]): Promise<void> {
  await client.query(deleteEventRuns, [JSON.stringify(rows)])
  await writeRuns(client, rows)
  await writeSteps(client, rows)
  await writeSuspensions(client, rows)
}

async function writeRuns(client: PoolClient, runs: readonly RunRow[]): Promise<void> {
  const rows = JSON.stringify(runs)
  await client.query(upsertRuns, [rows])
  await client.query(deleteAllocations, [rows])
  await client.query(upsertAllocations, [rows])
}

async function writeSteps(client: PoolClient, runs: readonly RunRow[]): Promise<void> {
  const rows = JSON.stringify(runs)
  await client.query(deleteSteps, [rows])
  await client.query(upsertSteps, [rows])
}

function toRow({ startedAt, endedAt, start, end, ...about }: Run, firstStartedAt: Date): RunRow {
  const { nodelist = '', cpus_per_node, cpus, accelerators, user, uid, ...others } = start
  const { steps = [], ...facts } = others
  const nodes = withAccelerators(heldNodes(nodelist, cpus_per_node, cpus), accelerators)
  const stretch = { started_at: startedAt, ended_at: endedAt }
  return {
    ...facts,
    ...end,
    ...about,
    ...stretch,
    first_started_at: firstStartedAt,
    user_name: user,
    user_id: uid,
    nodelist,
    source: start.source ?? 'event',
    nodes: withBusyCores(nodes, {
      cpuSeconds: facts.cpu_seconds,
      seconds: endedAt === null ? 0 : (endedAt.getTime() - startedAt.getTime()) / 1000,
    }).map((node) => ({ ...node, ...stretch })),
    steps: lastOfEach(steps),
  }
}

function lastOfEach(steps: NonNullable<EventDetail['steps']>) {
  return [...new Map(steps.map((step) => [step.step, step])).values()].map((step) => {
    const { started_at, ended_at } = step
    return ended_at !== undefined && ended_at < started_at
      ? { ...step, ended_at: started_at }
      : step
  })
}

/**
 * A start that turned out to be earlier than thought replaces its run. Runs of labels are left to
 * `writeLabelRuns`, but for one that stands in an event's place.
 */
const deleteEventRuns = `
  with run as (
    select r.cluster, r.job_id, r.started_at
    from jsonb_to_recordset($1) as r (cluster text, job_id int8, started_at timestamptz)
  )
  delete from job j
  where (j.cluster, j.job_id) in (select r.cluster, r.job_id from run r)
    and (j.source = 'labels') = ((j.cluster, j.job_id, j.started_at) in
      (select r.cluster, r.job_id, r.started_at from run r))`

const deleteLabelRuns = `
  delete from job j
  where j.job_id = any ($1) and j.source = 'labels'
    and (j.cluster, j.job_id, j.started_at) not in (
      select r.cluster, r.job_id, r.started_at
      from jsonb_to_recordset($2) as r (cluster text, job_id int8, started_at timestamptz))`

const upsertRuns = `
  insert into job (
    cluster, job_id, submitted_at, started_at, ended_at, state, exit_code, user_name, user_id,
    account, partition, name, restart_count, array_job_id, array_task_id, het_job_id,
    het_job_offset, nodelist, source, first_started_at, db_index, qos, suspended_seconds,
    scheduler_joules, cpu_seconds)
  select r.cluster, r.job_id, r.submitted_at, r.started_at, r.ended_at, r.state, r.exit_code,
    r.user_name, r.user_id, r.account, r.partition, r.name, r.restart_count, r.array_job_id,
    r.array_task_id, r.het_job_id, r.het_job_offset, r.nodelist, r.source, r.first_started_at,
    r.db_index, r.qos, r.suspended_seconds, r.scheduler_joules, r.cpu_seconds
  from jsonb_to_recordset($1) as r (
    cluster text, job_id int8, submitted_at timestamptz, started_at timestamptz,
    ended_at timestamptz, state text, exit_code text, user_name text, user_id int8, account text,
    partition text, name text, restart_count int4, array_job_id int8, array_task_id int8,
    het_job_id int8, het_job_offset int4, nodelist text, source text, first_started_at timestamptz,
    db_index int8, qos text, suspended_seconds int8, scheduler_joules float8,
    cpu_seconds float8)
  on conflict (cluster, job_id, started_at) do update set
    submitted_at = excluded.submitted_at, ended_at = excluded.ended_at, state = excluded.state,
    exit_code = excluded.exit_code, user_name = excluded.user_name, user_id = excluded.user_id,
    account = excluded.account, partition = excluded.partition, name = excluded.name,
    restart_count = excluded.restart_count, array_job_id = excluded.array_job_id,
    array_task_id = excluded.array_task_id, het_job_id = excluded.het_job_id,
    het_job_offset = excluded.het_job_offset, nodelist = excluded.nodelist,
    source = excluded.source, first_started_at = excluded.first_started_at,
    db_index = excluded.db_index, qos = excluded.qos,
    suspended_seconds = excluded.suspended_seconds, scheduler_joules = excluded.scheduler_joules,
    cpu_seconds = excluded.cpu_seconds`

const deleteAllocations = `
  with held as (
    select j.id as run, h.node, h.started_at
    from jsonb_to_recordset($1)
      as r (cluster text, job_id int8, started_at timestamptz, nodes jsonb)
    join job j on (r.cluster, r.job_id, r.started_at) = (j.cluster, j.job_id, j.started_at)
    left join lateral jsonb_to_recordset(r.nodes) as h (node text, started_at timestamptz) on true
  )
  delete from allocation a
  where a.run in (select h.run from held h)
    and not exists (
      select from held h
      where (h.run, h.node, h.started_at) = (a.run, a.node, a.started_at))`

/** A place once known stays: the topology may have changed since. */
const upsertAllocations = `
  insert into allocation (
    run, node, xname, started_at, ended_at, cores, node_cores, busy_cores, accelerators)
  select j.id, h.node, coalesce(h.xname, n.xname), h.started_at, h.ended_at, h.cores, n.cores,
    h.busy_cores, h.accelerators
  from jsonb_to_recordset($1)
    as r (cluster text, job_id int8, started_at timestamptz, nodes jsonb)
  join job j on (r.cluster, r.job_id, r.started_at) = (j.cluster, j.job_id, j.started_at)
  cross join lateral jsonb_to_recordset(r.nodes) as h (
    node text, xname text, cores int4, started_at timestamptz, ended_at timestamptz,
    busy_cores float8, accelerators int2[])
  left join lateral (
    select n.xname, n.cores
    from (
      select n.key, 'infinity' as until, n.xname, n.cores
      from node n
      where n.key = node_key(h.node) or n.xname = h.xname
      union all
      select n.key, n.until, n.xname, n.cores
      from node_past n
      where n.key = node_key(h.node) and n.until > h.started_at
    ) n
    order by n.until, n.key
    limit 1
  ) n on true
  on conflict (run, node, started_at) do update set
    xname = coalesce(allocation.xname, excluded.xname),
    ended_at = excluded.ended_at,
    cores = excluded.cores,
    node_cores = coalesce(allocation.node_cores, excluded.node_cores),
    busy_cores = excluded.busy_cores,
    accelerators = excluded.accelerators
  where (allocation.xname, allocation.ended_at, allocation.cores, allocation.node_cores,
      allocation.busy_cores, allocation.accelerators)
    is distinct from (excluded.xname, excluded.ended_at, excluded.cores, excluded.node_cores,
      excluded.busy_cores, excluded.accelerators)`

const deleteSteps = `
  with told as (
    select j.id as run, j.source, s.step
    from jsonb_to_recordset($1)
      as r (cluster text, job_id int8, started_at timestamptz, steps jsonb)
    join job j on (r.cluster, r.job_id, r.started_at) = (j.cluster, j.job_id, j.started_at)
    left join lateral jsonb_to_recordset(r.steps) as s (step text) on true
  )
  delete from job_step s
  using told t
  where s.run = t.run and s.source = t.source
    and not exists (select from told u where u.run = s.run and u.step = s.step)`

const upsertSteps = `
  insert into job_step (run, step, started_at, ended_at, source, name, state, exit_code, nodelist,
    cpus, scheduler_joules)
  select j.id, s.step, s.started_at, s.ended_at, j.source, s.name, s.state, s.exit_code, s.nodelist,
    s.cpus, s.scheduler_joules
  from jsonb_to_recordset($1)
    as r (cluster text, job_id int8, started_at timestamptz, steps jsonb)
  join job j on (r.cluster, r.job_id, r.started_at) = (j.cluster, j.job_id, j.started_at)
  cross join lateral jsonb_to_recordset(r.steps) as s (
    step text, started_at timestamptz, ended_at timestamptz, name text, state text, exit_code text,
    nodelist text, cpus int4, scheduler_joules float8)
  on conflict (run, step) do update set
    started_at = excluded.started_at, ended_at = excluded.ended_at, source = excluded.source,
    name = excluded.name, state = excluded.state, exit_code = excluded.exit_code,
    nodelist = excluded.nodelist, cpus = excluded.cpus,
    scheduler_joules = excluded.scheduler_joules`

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
