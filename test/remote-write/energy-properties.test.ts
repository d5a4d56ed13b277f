import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { type EnergyAnswer, getJson, iso, postEvents } from '../support/jobs.ts'
import { layouts, moveTo } from '../support/layout.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecord } from '../support/remote-write.ts'
import { storeSeries } from '../support/samples.ts'
import { meteredEnergy, type Sample, shares } from './energy-model.ts'

/** A window of 4 h ends half an hour later. */
const t0 = Date.UTC(2026, 2, 1, 3, 30) / 1000

/** A node's power over time: each piece lasts some seconds; after the last it starts again. */
function profileOf(shortestSeconds: number) {
  const seconds = fc.integer({ min: shortestSeconds, max: 400 })
  const watts = fc.integer({ min: 150, max: 900 })
  return fc.array(fc.record({ seconds, watts }), { minLength: 1, maxLength: 6 })
}
const profile = profileOf(3)
/** No three steps between readings, of 38 s at most, hold more than one jump. */
const steadyProfile = profileOf(40)
type Profile = readonly { seconds: number; watts: number }[]

/** Exact energy since t0. */
function truth(pieces: Profile, until: number): number {
  const joules = pieces.reduce((sum, { seconds, watts }) => sum + seconds * watts, 0)
  const period = pieces.reduce((sum, { seconds }) => sum + seconds, 0)
  let left = until % period
  let rest = 0
  for (const { seconds, watts } of pieces) {
    rest += Math.max(0, Math.min(seconds, left)) * watts
    left -= seconds
  }
  return Math.floor(until / period) * joules + rest
}

/** How a counter is scraped: what is lost, how old readings are, and if it counts whole joules. */
const scraping = fc.record({
  phase: fc.integer({ min: 0, max: 9999 }),
  lost: fc.func(fc.integer({ min: 0, max: 9 })),
  lostTenths: fc.constantFrom(0, 0, 1, 5),
  ages: fc.func(fc.integer({ min: 0, max: 8000 })),
  hasClock: fc.boolean(),
  whole: fc.boolean(),
  resetAt: fc.option(fc.integer({ min: 500, max: 3000 }), { nil: undefined }),
})
interface Scraping {
  phase: number
  lost: (i: number) => number
  lostTenths: number
  ages: (i: number) => number
  hasClock: boolean
  whole: boolean
  resetAt: number | undefined
}

function scrape(pieces: Profile, how: Scraping, seconds: number): Sample[] {
  const count = Math.floor(seconds / 10)
  return Array.from({ length: count }, (_, i) => i).flatMap((i) => {
    if (how.lost(i) < how.lostTenths) return []
    const scraped = i * 10 + how.phase / 1000
    const read = how.hasClock ? Math.max(0, scraped - how.ages(i) / 1000) : scraped
    const sinceReset = how.resetAt !== undefined && read >= how.resetAt ? how.resetAt : 0
    const counted = truth(pieces, read) - truth(pieces, sinceReset)
    const value = how.whole ? Math.floor(counted) : counted + 0.25
    return [{ scraped: t0 + scraped, value, ...(how.hasClock && { clock: t0 + read }) }]
  })
}

/** Until when it is noted where counters rose without an event. */
const noted = fc
  .array(fc.integer({ min: 700, max: 3600 }), { maxLength: 3 })
  .map((times) => times.toSorted((a, b) => a - b))

const span = fc
  .tuple(fc.integer({ min: 30, max: 3400 }), fc.integer({ min: 1, max: 1800 }))
  .map(([from, length]) => ({ from: t0 + from, to: t0 + Math.min(from + length, 3500) }))

describe('the energy of any job', function anyJob() {
  // Seconds on an idle machine: hundreds of jobs, each laid out anew.
  this.timeout(240_000)
  let service: Service
  let pool: Pool
  let node = 0
  let job = 0

  before(async () => {
    const database = await cloneDatabase()
    pool = database.pool
    service = await startRecord(database.url)
  })

  after(() => service.close())

  /** Alone, so that what looks at all nodes, as compaction does, does not do so again for each. */
  async function storeNode(samples: readonly Sample[], spread: boolean): Promise<string> {
    await pool.query('truncate series, frames, segments, rollup, counter_stretch cascade')
    const xname = `x1000c0s0b0n${node++}`
    const common = { xname, bmc: 'x1000c0s0b0', source: 'redfish', job: 'j', instance: 'e' }
    const sensor = { chassis: 'Node0', sensor: 'ChassisVoltageRegulator0InputEnergy' }
    const series = [
      {
        metric: 'cray_node_energy_joules_total',
        labels: common,
        samples: samples.map(({ scraped, value }) => [scraped, value] as const),
      },
      {
        metric: 'cray_sensor_reading_timestamp_seconds',
        labels: { ...common, ...sensor },
        samples: samples.flatMap(({ scraped, clock }) =>
          clock === undefined ? [] : [[scraped, clock] as const],
        ),
      },
    ]
    await storeSeries(pool, series, { spread })
    return xname
  }

  async function energyOf(id: number): Promise<EnergyAnswer> {
    return await getJson<EnergyAnswer>(service, `/api/v1/jobs/${id}/energy`)
  }

  /** As the service does every five minutes. */
  async function noteUntil(seconds: number): Promise<void> {
    await pool.query('select note_stretches($1)', [iso(t0 + seconds + 600)])
  }

  function events(id: number, { from, to }: { from: number; to: number }, more: object) {
    const about = { cluster: 'c', job_id: id }
    return [
      { ...about, type: 'start', time: iso(from), ...more },
      { ...about, type: 'end', time: iso(to) },
    ]
  }

  it('is what the plain model says, live and compacted, the truth within its bounds', async () => {
    const property = fc.asyncProperty(
      fc.record({ profile, scraping, span, spread: fc.boolean(), layout: layouts, noted }),
      async ({ profile, scraping, span, spread, layout, noted }) => {
        const samples = scrape(profile, scraping, 3600)
        const nodelist = await storeNode(samples, spread)
        await postEvents(service, events(++job, span, { nodelist }))
        const energy = await energyOf(job)
        for (const seconds of noted) await noteUntil(seconds)
        sameEnergy(await energyOf(job), energy)
        await moveTo(pool, layout)
        sameEnergy(await energyOf(job), energy)
        const model = meteredEnergy(samples, span, 300)
        if (!model) return assert.equal(energy.joules, null)
        close(energy.joules, model.joules)
        close(energy.joules_low, model.low)
        close(energy.joules_high ?? Number.POSITIVE_INFINITY, model.high)
        close(energy.coverage_ratio, model.covered / (span.to - span.from))
        assert.equal(energy.resets, model.resets)
        // What a reset lost is only guessed.
        if (energy.joules_high === null || energy.resets > 0) return
        const expected = truth(profile, span.to - t0) - truth(profile, span.from - t0)
        const rounding = expected * 1e-9
        assert.ok((energy.joules_low ?? 0) <= expected + rounding, `truth ${expected}`)
        assert.ok(energy.joules_high >= expected - rounding, `truth ${expected}`)
      },
    )
    await fc.assert(property, { numRuns: 150 })
  })

  it('is the truth where power holds for three scrapes, wherever it jumps', async () => {
    const exact = { lostTenths: 0, resetAt: undefined } as const
    const property = fc.asyncProperty(
      fc.record({
        profile: steadyProfile,
        scraping,
        start: fc.integer({ min: 60, max: 2600 }),
        noted: fc.boolean(),
      }),
      async ({ profile, scraping, start, noted }) => {
        const samples = scrape(profile, { ...scraping, ...exact }, 3600)
        const nodelist = await storeNode(samples, false)
        const span = { from: t0 + start, to: t0 + start + 600 }
        await postEvents(service, events(++job, span, { nodelist }))
        if (noted) await noteUntil(3600)
        const expected = truth(profile, start + 600) - truth(profile, start)
        const { joules } = await energyOf(job)
        const error = Math.abs((joules ?? 0) - expected)
        // Powers from whole joules over 2 s at least are 0.5 W off, for the 18 s of a step.
        assert.ok(error <= (scraping.whole ? 20 : 0.01), `${joules} J, truth ${expected} J`)
      },
    )
    await fc.assert(property, { numRuns: 50 })
  })

  it('adds up to the meter with that of all other jobs on the node and of none', async () => {
    const holding = fc.record({ span, cores: fc.integer({ min: 1, max: 128 }) })
    const property = fc.asyncProperty(
      fc.record({
        profile,
        scraping,
        idleWatts: fc.integer({ min: 0, max: 400 }),
        layout: layouts,
        jobs: fc.array(holding, { minLength: 1, maxLength: 5 }),
      }),
      async ({ profile, scraping, idleWatts, layout, jobs }) => {
        const samples = scrape(profile, scraping, 3600)
        const nodelist = await storeNode(samples, false)
        await storeIdle(nodelist, idleWatts)
        await moveTo(pool, layout)
        const holdings = jobs.map(({ span, cores }) => ({ job: ++job, ...span, cores }))
        const told = holdings.flatMap(({ job, cores, ...span }) =>
          events(job, span, { nodelist, cpus_per_node: String(cores) }),
        )
        assert.equal((await postEvents(service, told)).status, 200)
        const whole = { from: t0 + 20, to: t0 + 3550 }
        const model = shares(samples, holdings, { cores: 128, idleWatts, span: whole })
        let sum = model.idle
        for (const { job } of holdings) {
          const { joules } = await energyOf(job)
          sum += joules ?? 0
          close(joules ?? 0, model.jobs.get(job) ?? 0)
        }
        close(sum, meteredEnergy(samples, whole, 300)?.joules ?? 0)
      },
    )
    await fc.assert(property, { numRuns: 100 })
  })

  async function storeIdle(xname: string, watts: number): Promise<void> {
    await pool.query('insert into node (name, xname, cores) values ($1, $1, 128)', [xname])
    const samples = [[t0 - 60, watts] as const]
    const labels = { xname, job: 'j', instance: 'e' }
    await storeSeries(pool, [{ metric: 'cray_node_idle_power_watts', labels, samples }])
  }
})

function sameEnergy(actual: EnergyAnswer, expected: EnergyAnswer): void {
  const { joules, joules_low, joules_high, coverage_ratio, nodes: _, ...rest } = actual
  const numbers = { joules, joules_low, joules_high, coverage_ratio }
  assert.deepEqual({ ...expected, ...numbers, nodes: [] }, { ...rest, ...numbers, nodes: [] })
  for (const name of ['joules', 'joules_low', 'joules_high', 'coverage_ratio'] as const) {
    const [a, b] = [actual[name], expected[name]]
    if (b === null) assert.equal(a, null, name)
    else close(a, b)
  }
}

function close(actual: number | null, expected: number): void {
  if (actual === expected) return
  const tolerance = Math.max(1e-3, Math.abs(expected) * 1e-6)
  assert.ok(
    actual !== null && Math.abs(actual - expected) <= tolerance,
    `${actual}, expected ${expected}`,
  )
}
