import type { Pool } from 'pg'
import { CapmcError, type NodeQuery } from './request.ts'

/** A node's energy in the window, and what it rests on. */
export interface NodeEnergyRow {
  nid: number | null
  xname: string | null
  joules: number | null
  joules_low: number | null
  joules_high: number | null
  seconds_covered: number
  method: string
  resets: number
}

export interface Answer {
  start: Date
  end: Date
  nodes: NodeEnergyRow[]
}

interface Options {
  now: Date
  maxGapSeconds: number
}

/**
 * Energy by node: all that the nodes drew in the window, or what a job or step bears of it while it
 * held them.
 * @throws {CapmcError} for nids, jobs and steps that nobody told of.
 */
export async function nodeEnergy(
  pool: Pool,
  query: NodeQuery,
  { now, maxGapSeconds }: Options,
): Promise<Answer> {
  const wanted = await placesOf(pool, query)
  if (query.jobId === undefined) {
    const start = query.start ?? now
    const end = query.end ?? now
    return { start, end, nodes: await spanEnergy(pool, { wanted, start, end, maxGapSeconds }) }
  }
  const held = await heldBy(pool, query, now)
  const start = later(held.start, query.start)
  const end = earlier(held.end, query.end)
  const { rows } = await pool.query<NodeEnergyRow>(
    `select (substring(p.node from '^nid(\\d+)$'))::int8::float8 as nid, p.xname,
       sum(p.joules) as joules, sum(p.joules_low) as joules_low,
       case when count(p.joules_high) = count(*) then sum(p.joules_high) end as joules_high,
       coalesce(sum(p.covered_seconds), 0) as seconds_covered,
       coalesce(min(p.method), 'none') as method, coalesce(sum(p.resets), 0)::int4 as resets
     from job_piece($1, $2, $3, $4) p
     where p.from_time is not null and ($5::text[] is null or p.xname = any ($5))
     group by p.node, p.xname
     order by p.node`,
    [held.runs, end, maxGapSeconds, start, wanted?.map(({ xname }) => xname) ?? null],
  )
  return { start, end, nodes: rows }
}

interface Span {
  wanted: Place[] | undefined
  start: Date
  end: Date
  maxGapSeconds: number
}

async function spanEnergy(pool: Pool, { wanted = [], start, end, maxGapSeconds }: Span) {
  const { rows } = await pool.query<NodeEnergyRow>(
    `with place as (
       select * from unnest($1::float8[], $2::text[]) with ordinality as p (nid, xname, nth))
     select p.nid, p.xname, e.joules, e.joules_low, e.joules_high,
       coalesce(e.covered_seconds, 0) as seconds_covered, coalesce(e.method, 'none') as method,
       coalesce(e.resets, 0) as resets
     from place p
     left join node_energy($2, array_fill($3::timestamptz, array[cardinality($2)]),
       array_fill($4::timestamptz, array[cardinality($2)]), $5) e on e.nth = p.nth
     order by p.nth`,
    [wanted.map(({ nid }) => nid), wanted.map(({ xname }) => xname), start, end, maxGapSeconds],
  )
  return rows
}

/** What the counters of nodes showed last at `time`. */
export async function nodeCounters(
  pool: Pool,
  query: NodeQuery & { time: Date | undefined },
  now: Date,
): Promise<{ nid: number | null; xname: string; joules: number | null; time: Date | null }[]> {
  const places = (await placesOf(pool, query)) ?? (await jobPlaces(pool, query, now))
  const { rows } = await pool.query(
    `with place as (
       select * from unnest($1::float8[], $2::text[]) with ordinality as p (nid, xname, nth)),
     shown as (
       select distinct on (l.labels ->> 'xname') l.labels ->> 'xname' as xname, l.time, l.value
       from latest('cray_node_energy_joules_total', '{}', '15 minutes', $3) l
       order by l.labels ->> 'xname', l.time desc, l.series_id)
     select p.nid, p.xname, s.value as joules, s.time
     from place p left join shown s on s.xname = p.xname
     order by p.nth`,
    [places.map(({ nid }) => nid), places.map(({ xname }) => xname), query.time ?? now],
  )
  return rows
}

interface Place {
  nid: number | null
  xname: string
}

/** The nodes that nids and xnames name; undefined: neither is given. */
async function placesOf(pool: Pool, { nids, xnames }: NodeQuery): Promise<Place[] | undefined> {
  if (!nids && !xnames) return undefined
  const { rows } = await pool.query<{ nid: number; xname: string | null }>(
    `select n.nid::float8 as nid, t.xname
     from unnest($1::int8[]) with ordinality as n (nid, nth)
     left join node t on t.key = node_key('nid' || n.nid)
     order by n.nth`,
    [nids ?? []],
  )
  const unknown = rows.filter(({ xname }) => xname === null).map(({ nid }) => nid)
  if (unknown.length > 0) {
    const some = unknown.slice(0, 10).join(',')
    throw new CapmcError('INVALID_ARGUMENTS', `${unknown.length} nids are unknown: ${some}`)
  }
  const byNid = rows.flatMap(({ nid, xname }) => (xname === null ? [] : [{ nid, xname }]))
  const byName = await nidsOf(pool, xnames ?? [])
  if (!xnames) return byNid
  if (!nids) return byName
  const both = new Set(xnames)
  return byNid.filter(({ xname }) => both.has(xname))
}

async function nidsOf(pool: Pool, xnames: readonly string[]): Promise<Place[]> {
  const { rows } = await pool.query<Place>(
    `select min((substring(t.name from '^nid(\\d+)$'))::int8)::float8 as nid, x.xname
     from unnest($1::text[]) with ordinality as x (xname, nth)
     left join node t on t.xname = x.xname
     group by x.xname, x.nth
     order by x.nth`,
    [xnames],
  )
  return rows
}

/** The runs of a job, and from when to when it, or its step, held nodes. */
async function heldBy(pool: Pool, { jobId, step }: NodeQuery, now: Date) {
  const { rows } = await pool.query<{ runs: string[] | null; start: Date; end: Date }>(
    `select array_agg(distinct j.id) as runs, min(coalesce(s.started_at, j.started_at)) as start,
       max(case when $2::text is null then coalesce(j.ended_at, $3)
         else coalesce(s.ended_at, $3) end) as end
     from job j
     left join job_step s on s.run = j.id and s.step = $2
     where j.job_id = $1 and ($2::text is null or s.step is not null)`,
    [jobId, step ?? null, now],
  )
  const [found] = rows
  if (!found?.runs) {
    const what = step === undefined ? `job ${jobId}` : `step ${jobId}.${step}`
    throw new CapmcError('INVALID_ARGUMENTS', `nobody told of a ${what}`)
  }
  return { ...found, runs: found.runs }
}

async function jobPlaces(pool: Pool, query: NodeQuery, now: Date): Promise<Place[]> {
  const { runs } = await heldBy(pool, query, now)
  const { rows } = await pool.query<{ xname: string }>(
    `select distinct a.xname from allocation a
     where a.run = any ($1) and a.xname is not null order by a.xname`,
    [runs],
  )
  return await nidsOf(
    pool,
    rows.map(({ xname }) => xname),
  )
}

function later(one: Date, other: Date | undefined): Date {
  return other && other > one ? other : one
}

function earlier(one: Date, other: Date | undefined): Date {
  return other && other < one ? other : one
}
