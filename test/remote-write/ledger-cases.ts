import fc from 'fast-check'
import type { Pool } from 'pg'
import { type StoredSeries, storeSeries } from '../support/samples.ts'
import { type Holding, meteredEnergy, type Sample, shares } from './energy-model.ts'

/** 2026-03-01T03:30:00Z: a window of 4 h ends half an hour later. */
export const ledgerSpan = { from: 1_772_335_800, to: 1_772_335_800 + 3600 }

const cores = 128

/** A node for an hour: how it is scraped, and which jobs hold how much of it. */
export interface LedgerCase {
  samples: Sample[]
  idleWatts: number | null
  holdings: Omit<Holding, 'job'>[]
  /** Samples of each accelerator that the node measures. */
  accelerators: Sample[][]
}

/** Any allocations, resets, lost samples and gaps; times are whole seconds or not. */
export const ledgerCases: fc.Arbitrary<LedgerCase> = fc
  .record({
    steps: fc.array(
      fc.record({
        seconds: fc.oneof(fc.constantFrom(10, 10, 30), fc.integer({ min: 1, max: 700 })),
        watts: fc.oneof(
          fc.integer({ min: 0, max: 3000 }),
          fc.double({ min: 0, max: 900, noNaN: true }),
        ),
        reset: fc.boolean().chain((may) => (may ? fc.nat({ max: 9 }) : fc.constant(9))),
      }),
      { minLength: 1, maxLength: 60 },
    ),
    phase: fc.integer({ min: -900, max: 900 }),
    age: fc.option(fc.integer({ min: 0, max: 20_000 }), { nil: undefined }),
    idleWatts: fc.option(fc.integer({ min: 0, max: 900 }), { nil: null }),
    accelerators: fc.array(fc.double({ min: 0, max: 0.7, noNaN: true }), { maxLength: 3 }),
    holdings: fc.array(
      fc.record({
        start: fc.integer({ min: -300, max: 3700 }),
        seconds: fc.oneof(
          fc.integer({ min: 1, max: 4000 }),
          fc.double({ min: 0.1, max: 99, noNaN: true }),
        ),
        cores: fc.oneof(fc.constant(cores), fc.integer({ min: 1, max: cores })),
        busy: fc.option(fc.double({ min: 0, max: cores, noNaN: true }), {
          nil: undefined,
          freq: 9,
        }),
        accelerators: fc.option(fc.subarray([0, 1, 2, 7]), { nil: undefined }),
        halts: fc.uniqueArray(fc.integer({ min: 0, max: 3600 }), { maxLength: 4 }),
      }),
      { maxLength: 6 },
    ),
  })
  .map(({ steps, phase, age, idleWatts, holdings, accelerators }) => ({
    samples: counted(steps, phase, age),
    idleWatts,
    accelerators: accelerators.map((part) =>
      counted(
        steps.map((step) => ({ ...step, watts: step.watts * part })),
        phase,
        undefined,
      ),
    ),
    holdings: holdings.map(({ start, seconds, halts, ...part }) => {
      const from = ledgerSpan.from + start
      const to = Math.round((from + seconds) * 1000) / 1000
      return { from, to, halts: haltsWithin({ from, to }, halts), ...part }
    }),
  }))

/** From the first to the second of these seconds, and so on. */
function haltsWithin({ from, to }: { from: number; to: number }, seconds: readonly number[]) {
  const edges = seconds.map((second) => ledgerSpan.from + second).sort((a, b) => a - b)
  return edges.flatMap((edge, i) => {
    const end = Math.min(edges[i + 1] ?? to, to)
    return i % 2 === 0 && edge >= from && edge < end ? [{ from: edge, to: end }] : []
  })
}

function counted(
  steps: readonly { seconds: number; watts: number; reset: number }[],
  phase: number,
  age: number | undefined,
): Sample[] {
  let [scraped, value] = [ledgerSpan.from + phase, 1e6]
  return steps.map(({ seconds, watts, reset }) => {
    scraped += seconds
    value = reset === 0 ? (watts * seconds) / 2 : value + watts * seconds
    return { scraped, value, ...(age !== undefined && { clock: scraped - age / 1000 }) }
  })
}

/** Stores the cases' nodes; xnames begin with `place`, jobs are numbered from `firstJob`. */
export async function storeCases(
  pool: Pool,
  cases: readonly LedgerCase[],
  { place, firstJob }: { place: string; firstJob: number },
): Promise<{ xname: string; case_: LedgerCase; jobs: number[] }[]> {
  let job = firstJob
  const nodes = cases.map((case_, i) => ({
    xname: `${place}n${i}`,
    case_,
    jobs: case_.holdings.map(() => job++),
  }))
  await storeSeries(
    pool,
    nodes.flatMap(({ xname, case_ }) => seriesOf(xname, case_)),
    {
      spread: true,
    },
  )
  await pool.query(
    'insert into node (name, xname, cores) select x, x, $2 from unnest($1::text[]) x',
    [nodes.map(({ xname }) => xname), cores],
  )
  const held = nodes.flatMap(({ xname, case_, jobs }) =>
    case_.holdings.map((holding, i) => ({ ...holding, job: jobs[i], xname })),
  )
  await pool.query(
    `with told as (
       select h.* from jsonb_to_recordset($1)
         as h (job int8, xname text, "from" float8, "to" float8, cores int4, busy float8,
           accelerators int2[], halts jsonb)),
     made as (
       insert into job (cluster, job_id, started_at, ended_at, nodelist, source, user_name, account)
       select 'c', job, to_timestamp("from"), to_timestamp("to"), xname, 'test',
         'user' || job % 3, 'account' || job % 2 from told
       returning id, job_id),
     halted as (
       insert into suspension (run, started_at, ended_at)
       select m.id, to_timestamp(h."from"), to_timestamp(h."to")
       from told t join made m on m.job_id = t.job
       cross join lateral jsonb_to_recordset(t.halts) as h ("from" float8, "to" float8))
     insert into allocation (
       run, node, xname, started_at, ended_at, cores, node_cores, busy_cores, accelerators)
     select m.id, t.xname, t.xname, to_timestamp(t."from"), to_timestamp(t."to"), t.cores, $2,
       t.busy, t.accelerators
     from told t join made m on m.job_id = t.job`,
    [JSON.stringify(held), cores],
  )
  return nodes
}

function seriesOf(xname: string, { samples, idleWatts, accelerators }: LedgerCase): StoredSeries[] {
  const labels = { xname, job: 'j', instance: 'e' }
  const counter = samples.map(({ scraped, value }) => [scraped, value] as const)
  const clock = samples.flatMap(({ scraped, clock }) => (clock ? [[scraped, clock] as const] : []))
  const sensor = { sensor: 'ChassisVoltageRegulator0InputEnergy' }
  const idle = idleWatts === null ? [] : [[ledgerSpan.from - 1000, idleWatts] as const]
  return [
    { metric: 'cray_node_energy_joules_total', labels, samples: counter },
    {
      metric: 'cray_sensor_reading_timestamp_seconds',
      labels: { ...labels, ...sensor },
      samples: clock,
    },
    { metric: 'cray_node_idle_power_watts', labels, samples: idle },
    ...accelerators.map((told, i) => ({
      metric: 'cray_pm_energy_joules_total',
      labels: { ...labels, domain: `accel${i}` },
      samples: told.map(({ scraped, value }) => [scraped, value] as const),
    })),
  ].filter(({ samples }) => samples.length > 0)
}

interface LedgerRow {
  xname: string
  kind: 'job' | 'idle' | 'unattributed'
  job_id: string | null
  joules: string
  meter_joules: string
}

/** What is wrong with the ledger of these nodes: nothing, if it is right. */
export async function ledgerFaults(
  pool: Pool,
  nodes: Awaited<ReturnType<typeof storeCases>>,
): Promise<{ xname: string; fault: string }[]> {
  const { rows } = await pool.query<LedgerRow>(
    `select xname, kind, job_id, joules, meter_joules
     from energy_ledger(to_timestamp($1), to_timestamp($2), 300, $3)`,
    [ledgerSpan.from, ledgerSpan.to, nodes.map(({ xname }) => xname)],
  )
  const byNode = new Map<string, LedgerRow[]>()
  for (const row of rows) byNode.set(row.xname, [...(byNode.get(row.xname) ?? []), row])
  return nodes.flatMap(({ xname, case_, jobs }) => {
    const fault = faultOf(byNode.get(xname) ?? [], case_, jobs)
    return fault === undefined ? [] : [{ xname, fault }]
  })
}

function faultOf(rows: readonly LedgerRow[], case_: LedgerCase, jobs: readonly number[]) {
  const meter = meteredEnergy(case_.samples, ledgerSpan, 300)?.joules
  if (meter === undefined) return rows.length === 0 ? undefined : 'rows without readings'
  const sum = rows.reduce((sum, { joules }) => sum + BigInt(joules), 0n)
  const told = BigInt(rows[0]?.meter_joules ?? -1)
  if (sum !== told) return `the shares are ${sum} J, the meter ${told} J`
  if (!near(Number(told), meter, 0.51)) return `the meter is ${told} J, by the model ${meter} J`
  const { from, to } = ledgerSpan
  const holdings = case_.holdings.flatMap((holding, i) => {
    const inside = { from: Math.max(holding.from, from), to: Math.min(holding.to, to) }
    return inside.from < inside.to ? [{ ...holding, ...inside, job: jobs[i] ?? 0 }] : []
  })
  const { accelerators, idleWatts } = case_
  const node = { cores, idleWatts: idleWatts ?? 0, span: ledgerSpan, accelerators }
  const model = shares(case_.samples, holdings, node)
  for (const [job, joules] of model.jobs) {
    const row = rows.find(({ job_id }) => job_id === String(job))
    if (!near(Number(row?.joules ?? 0), joules, 1.01))
      return `job ${job}: ${row?.joules}, ${joules}`
  }
  const idle = rows.filter(({ kind }) => kind !== 'job')
  const rest = idle.reduce((sum, { joules }) => sum + Number(joules), 0)
  if (!near(rest, model.idle, 2.01)) return `without a job: ${rest} J, by the model ${model.idle} J`
  if (rows.some(({ joules }) => Number(joules) < 0)) return 'a share below zero'
  return undefined
}

function near(actual: number, expected: number, tolerance: number): boolean {
  return Math.abs(actual - expected) <= tolerance + Math.abs(expected) * 1e-9
}
