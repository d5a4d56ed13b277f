import assert from 'node:assert/strict'
import type { Pool } from 'pg'
import type { Service } from '../../exporter/service/http.ts'
import { type EnergyAnswer, getJson, iso, postEvents } from '../support/jobs.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecord } from '../support/remote-write.ts'
import { type StoredSeries, storeSeries } from '../support/samples.ts'

/** Some time of the past, on the ten seconds: 2026-03-01T00:00:00Z. */
const t0 = Date.UTC(2026, 2, 1) / 1000
const x1 = 'x1000c0s0b0n0'
const x2 = 'x1000c0s0b0n1'

type Samples = StoredSeries['samples']

describe('the energy of a job', () => {
  let service: Service
  let pool: Pool

  beforeEach(async () => {
    const database = await cloneDatabase()
    pool = database.pool
    service = await startRecord(database.url)
  })

  afterEach(() => service.close())

  const labels = (xname: string, more = {}) => ({
    ...{ job: 'joulebridge', instance: 'exporter', source: 'redfish' },
    ...{ xname, bmc: xname.slice(0, -2) },
    ...more,
  })
  const counter = (samples: Samples, xname = x1, more = {}): StoredSeries => {
    return { metric: 'cray_node_energy_joules_total', labels: labels(xname, more), samples }
  }
  const clock = (samples: Samples, xname = x1, more = {}): StoredSeries => ({
    metric: 'cray_sensor_reading_timestamp_seconds',
    labels: labels(xname, {
      chassis: 'Node0',
      sensor: 'ChassisVoltageRegulator0InputEnergy',
      ...more,
    }),
    samples,
  })
  const gauge = (metric: string, samples: Samples, xname = x1): StoredSeries => {
    return { metric, labels: labels(xname), samples }
  }

  const run = (job_id: number, from: number, to: number | null, more = {}): object[] => {
    const about = { cluster: 'alps', job_id }
    const start = { ...about, type: 'start', time: iso(t0 + from), nodelist: x1, ...more }
    return to === null ? [start] : [start, { ...about, type: 'end', time: iso(t0 + to) }]
  }

  const energyOf = async (id: number, ...events: object[]) => {
    if (events.length > 0) assert.equal((await postEvents(service, events)).status, 200)
    return await getJson<EnergyAnswer>(service, `/api/v1/jobs/${id}/energy`)
  }

  it('is the difference of the counter where the edges lie on samples', async () => {
    await storeSeries(pool, [counter(every(10, 0, 900, (t) => 5000.5 + 400 * t))])
    const energy = await energyOf(1, ...run(1, 100, 700))
    close(energy.joules, 240_000)
    close(energy.joules_low, 240_000)
    close(energy.joules_high, 240_000)
    assert.equal(energy.coverage_ratio, 1)
    assert.equal(energy.method, 'counter')
    assert.equal(energy.resets, 0)
    assert.deepEqual([energy.nodes_expected, energy.nodes_with_data], [1, 1])
    assert.equal(energy.nodes[0]?.xname, x1)
  })

  it('is interpolated between samples, and bounded by the samples around each edge', async () => {
    await storeSeries(pool, [counter(every(10, 0, 900, (t) => 0.5 + 400 * t))])
    const energy = await energyOf(1, ...run(1, 103, 705))
    close(energy.joules, 400 * 602)
    close(energy.joules_low, 400 * 590)
    close(energy.joules_high, 400 * 610)
  })

  it('is exact where power jumps when the job starts and when it ends', async () => {
    const counted = (t: number) => 200 * t + 400 * (Math.min(Math.max(t, 103), 705) - 103)
    await storeSeries(pool, [counter(every(10, 0, 900, (t) => 0.5 + counted(t)))])
    close((await energyOf(1, ...run(1, 103, 705))).joules, 600 * 602)
  })

  it('is known to a joule where the counter counts whole joules', async () => {
    await storeSeries(pool, [counter(every(10, 0, 900, (t) => 400 * t))])
    const energy = await energyOf(1, ...run(1, 100, 700))
    close(energy.joules_low, 240_000 - 1)
    close(energy.joules_high, 240_000 + 1)
  })

  it('is all that a sample interval holds at most when the job fits into one', async () => {
    await storeSeries(pool, [counter(every(10, 0, 900, (t) => 0.5 + 400 * t))])
    const energy = await energyOf(1, ...run(1, 103, 105))
    close(energy.joules, 800)
    close(energy.joules_low, 0)
    close(energy.joules_high, 4000)
  })

  it('is that of a square wave within the bounds, and within 2 % over ten minutes', async () => {
    const truth = (t: number) => 450 * t + 250 * (27 * Math.floor(t / 54) + Math.min(t % 54, 27))
    await storeSeries(pool, [counter(every(10, 3, 1200, truth))])
    const energy = await energyOf(1, ...run(1, 205, 805))
    const expected = truth(805) - truth(205)
    assert.ok(Math.abs((energy.joules ?? 0) / expected - 1) < 0.02)
    assert.ok((energy.joules_low ?? 0) <= expected && expected <= (energy.joules_high ?? 0))
  })

  for (const spread of [false, true]) {
    it(`goes by the device's clock, ${spread ? 'in another' : 'in the same'} frame`, async () => {
      const samples = every(10, 0, 900, (t) => 0.5 + 10 * (t - 4) ** 2)
      const series = [counter(samples), clock(every(10, 0, 900, (t) => t0 + t - 4))]
      await storeSeries(pool, series, { spread })
      const energy = await energyOf(1, ...run(1, 106, 706))
      close(energy.joules, 10 * (706 ** 2 - 106 ** 2))
    })
  }

  for (const [name, skew] of Object.entries({ 'an hour off': -3700, 'at 1970': -t0 })) {
    it(`goes by the scrapes' time where the device's clock is ${name}`, async () => {
      const series = [
        counter(every(10, 0, 900, (t) => 0.5 + t ** 2)),
        clock(every(10, 0, 900, (t) => Math.max(0, t0 + t + skew))),
      ]
      await storeSeries(pool, series)
      close((await energyOf(1, ...run(1, 100, 700))).joules, 700 ** 2 - 100 ** 2)
    })
  }

  it('leaves out a reading whose device time has not arrived yet', async () => {
    const late = every(10, 0, 700, (t) => t0 + t - 8)
    await storeSeries(pool, [counter(every(10, 0, 710, (t) => 0.5 + 400 * (t - 8))), clock(late)])
    const energy = await energyOf(1, ...run(1, 100, 700))
    close(energy.joules, 400 * 592)
    assert.equal(energy.joules_high, null)
  })

  it('counts a reading once that the device shows at several scrapes', async () => {
    const fresh = (t: number) => Math.floor(t / 30) * 30
    const series = [
      counter(every(10, 0, 900, (t) => 0.5 + 400 * fresh(t))),
      clock(every(10, 0, 900, (t) => t0 + fresh(t))),
    ]
    await storeSeries(pool, series)
    const energy = await energyOf(1, ...run(1, 110, 700))
    close(energy.joules, 400 * 590)
    // The device's clock may be a second off, at either edge.
    close(energy.joules_low, 400 * (570 - 4))
    close(energy.joules_high, 400 * (630 + 4))
  })

  it('does not take a reading of a stuck sensor for a new one', async () => {
    const stuck = (t: number) => (t > 200 && t < 1500 ? 200 : t)
    const series = [
      counter(every(10, 0, 2000, (t) => 0.5 + 400 * stuck(t))),
      clock(every(10, 0, 2000, (t) => t0 + stuck(t))),
    ]
    await storeSeries(pool, series)
    const energy = await energyOf(1, ...run(1, 100, 1900))
    close(energy.joules, 400 * 1800)
    close(energy.coverage_ratio, 500 / 1800)
  })

  it('adds the new value from zero when the counter falls, and widens the bound', async () => {
    const counted = (t: number) => (t < 400 ? 1e6 + 0.5 + 400 * t : 0.5 + 400 * (t - 396))
    await storeSeries(pool, [counter(every(10, 0, 900, counted))])
    const energy = await energyOf(1, ...run(1, 100, 700))
    assert.equal(energy.resets, 1)
    close(energy.joules, 400 * 594 + 0.5)
    close(energy.joules_low, 400 * 594 + 0.5)
    close(energy.joules_high, 400 * 594 + 0.5 + (2 * 4000 - 1600.5))
  })

  it('takes no counter step for energy that 100 kW could not make', async () => {
    const counted = (t: number) => (t === 400 ? 0 : 1e9 + 0.5 + 400 * t)
    await storeSeries(pool, [counter(every(10, 0, 900, counted))])
    const energy = await energyOf(1, ...run(1, 100, 700))
    assert.equal(energy.resets, 2)
    close(energy.joules, 400 * 580)
    close(energy.joules_high, 400 * 580 + 2 * 400 * 20)
  })

  it('has no upper bound while a sample after its end is missing', async () => {
    await storeSeries(pool, [counter(every(10, 0, 400, (t) => 0.5 + 400 * t))])
    const energy = await energyOf(1, ...run(1, 100, 700))
    close(energy.joules, 400 * 300)
    assert.equal(energy.joules_high, null)
    close(energy.coverage_ratio, 0.5)
  })

  it('has the whole rise of a long gap, which lowers the coverage', async () => {
    const samples = every(10, 0, 2000, (t) => 0.5 + 400 * t)
    const gappy = samples.filter(([t]) => t <= t0 + 300 || t >= t0 + 900)
    await storeSeries(pool, [counter(gappy)])
    const energy = await energyOf(1, ...run(1, 100, 1300))
    close(energy.joules, 400 * 1200)
    close(energy.coverage_ratio, 0.5)
    close(energy.joules_high, 400 * 1200)
  })

  it('is interpolated over hours where the edge lies in a gap', async () => {
    const samples = every(10, 0, 20_000, (t) => 0.5 + 400 * t)
    const gappy = samples.filter(([t]) => t <= t0 + 300 || t >= t0 + 15_000)
    await storeSeries(pool, [counter(gappy)])
    const energy = await energyOf(1, ...run(1, 100, 5000))
    close(energy.joules, 400 * 4900)
    close(energy.joules_high, 400 * 14_900)
    close(energy.coverage_ratio, 200 / 4900)
  })

  it('passes over stale markers and absent values', async () => {
    const samples = every(10, 0, 900, (t) => 0.5 + 400 * t).map(([t, value], i) => {
      const holes: (number | null)[] = [value, Number.NaN, null, Number.POSITIVE_INFINITY]
      return [t, holes[i % 4] ?? null] as const
    })
    await storeSeries(pool, [
      counter(samples),
      gauge(
        'up',
        every(10, 0, 900, () => 1),
      ),
    ])
    close((await energyOf(1, ...run(1, 120, 720))).joules, 400 * 600)
  })

  it('comes from power where there is no counter', async () => {
    await storeSeries(pool, [
      gauge(
        'cray_node_power_watts',
        every(10, 0, 900, (t) => 100 + t),
      ),
    ])
    const energy = await energyOf(1, ...run(1, 103, 705))
    close(energy.joules, 602 * (100 + 404))
    assert.equal(energy.method, 'power')
    assert.equal(energy.joules_low, 0)
    assert.equal(energy.joules_high, null)
    assert.equal(energy.coverage_ratio, 1)
  })

  it('takes nothing from power within a long gap', async () => {
    const samples = every(10, 0, 2000, () => 300)
    const gappy = samples.filter(([t]) => t <= t0 + 300 || t >= t0 + 900)
    await storeSeries(pool, [gauge('cray_node_power_watts', gappy)])
    const energy = await energyOf(1, ...run(1, 100, 1300))
    close(energy.joules, 300 * 600)
    close(energy.coverage_ratio, 0.5)
  })

  it('is unknown, not zero, where nothing was measured', async () => {
    const energy = await energyOf(1, ...run(1, 100, 700, { nodelist: `${x1},nid000009` }))
    assert.deepEqual(
      [energy.joules, energy.joules_low, energy.joules_high, energy.coverage_ratio, energy.method],
      [null, null, null, 0, 'none'],
    )
    assert.deepEqual([energy.nodes_expected, energy.nodes_with_data], [2, 0])
    assert.deepEqual(
      energy.nodes.map(({ node, xname }) => [node, xname]),
      [
        ['nid000009', null],
        [x1, x1],
      ],
    )
  })

  it('sums the nodes that have data and says how many those are', async () => {
    const power = gauge(
      'cray_node_power_watts',
      every(10, 0, 900, () => 200),
      x2,
    )
    await storeSeries(pool, [counter(every(10, 0, 900, (t) => 0.5 + 400 * t)), power])
    const nodelist = `${x1},${x2},x1000c0s1b0n0`
    const energy = await energyOf(1, ...run(1, 100, 700, { nodelist }))
    close(energy.joules, 600 * 600)
    close(energy.joules_low, 400 * 600)
    assert.equal(energy.joules_high, null)
    close(energy.coverage_ratio, 2 / 3)
    assert.equal(energy.method, 'mixed')
    assert.deepEqual([energy.nodes_expected, energy.nodes_with_data], [3, 2])
  })

  it('joins the series of a meter whose instance label changed within the job', async () => {
    const samples = every(10, 0, 900, (t) => 0.5 + 400 * t)
    const until = (t: number) => samples.filter(([at]) => at <= t0 + t)
    const after = samples.filter(([at]) => at > t0 + 400)
    await storeSeries(pool, [counter(until(400)), counter(after, x1, { instance: 'other' })])
    const energy = await energyOf(1, ...run(1, 103, 705))
    close(energy.joules, 400 * 602)
    assert.equal(energy.coverage_ratio, 1)
  })

  it('counts once what two Prometheus scraped', async () => {
    const samples = every(10, 0, 900, (t) => 0.5 + 400 * t)
    const late = every(10, 3, 900, (t) => 0.5 + 400 * t)
    await storeSeries(pool, [counter(samples), counter(late, x1, { replica: 'b' })])
    const energy = await energyOf(1, ...run(1, 104, 709))
    close(energy.joules, 400 * 605)
    close(energy.joules_high, 400 * 607)
  })

  it('takes the meter that covers most where a node has two', async () => {
    const short = every(10, 0, 300, (t) => 0.5 + 1000 * t)
    const long = every(10, 0, 900, (t) => 7.5 + 400 * t)
    await storeSeries(pool, [counter(short), counter(long, x1, { source: 'sysfs' })])
    close((await energyOf(1, ...run(1, 100, 700))).joules, 400 * 600)
  })

  it('sums the runs of a requeued job', async () => {
    await storeSeries(pool, [
      counter(every(10, 0, 2000, (t) => 0.5 + 400 * t)),
      counter(
        every(10, 0, 2000, (t) => 0.5 + 100 * t),
        x2,
      ),
    ])
    const nodelist = `${x1},${x2}`
    const energy = await energyOf(1, ...run(1, 100, 300), ...run(1, 800, 900, { nodelist }))
    close(energy.joules, 400 * 200 + 500 * 100)
    assert.equal(energy.nodes_expected, 2)
    close(energy.nodes[0]?.joules ?? null, 400 * 300)
  })

  it('of a running job is that until now', async () => {
    const now = Date.now() / 1000 - t0
    const samples = every(10, now - 900, now - 5, (t) => 0.5 + 400 * (t - now + 2000))
    await storeSeries(pool, [counter(samples)])
    const energy = await energyOf(1, ...run(1, now - 600, null))
    assert.ok((energy.joules ?? 0) > 400 * 580 && (energy.joules ?? 0) < 400 * 600)
    assert.equal(energy.joules_high, null)
    assert.ok(energy.coverage_ratio > 0.9 && energy.coverage_ratio < 1)
  })

  describe('on a shared node', () => {
    beforeEach(async () => {
      await pool.query('insert into node (name, xname, cores) values ($1, $2, 128)', ['nid1', x1])
      await storeSeries(pool, [
        counter(every(10, 0, 2000, (t) => 0.5 + 500 * t)),
        gauge(
          'cray_node_idle_power_watts',
          every(10, 0, 2000, () => 200),
        ),
      ])
    })

    const cores = (count: number) => ({ nodelist: 'nid000001', cpus_per_node: String(count) })

    it("is a part of the idle floor by the node's cores, of the rest by cores held", async () => {
      const events = [...run(1, 100, 700, cores(32)), ...run(2, 300, 900, cores(64))]
      const first = await energyOf(1, ...events)
      close(first.joules, 200 * (50 + 300) + 400 * (50 + 100))
      close((await energyOf(2)).joules, 400 * (100 + 200) + 200 * (100 + 300))
    })

    it('is all of it for a job alone that holds all cores, or does not say how many', async () => {
      close((await energyOf(1, ...run(1, 100, 700, cores(128)))).joules, 500 * 600)
      const nodelist = 'nid000001'
      close((await energyOf(2, ...run(2, 1000, 1600, { nodelist }))).joules, 500 * 600)
    })

    it('is halved between two jobs that both hold all of it', async () => {
      const events = [...run(1, 100, 700, cores(128)), ...run(2, 100, 700, cores(128))]
      close((await energyOf(1, ...events)).joules, 500 * 300)
    })

    it('has no idle floor where the idle power is unknown', async () => {
      await pool.query(`delete from series where metric = 'cray_node_idle_power_watts'`)
      const events = [...run(1, 100, 700, cores(32)), ...run(2, 100, 700, cores(96))]
      close((await energyOf(1, ...events)).joules, 500 * 150)
    })
  })
})

/** Samples from `from` to `to` seconds after t0. */
function every(step: number, from: number, to: number, value: (t: number) => number): Samples {
  const count = Math.floor((to - from) / step) + 1
  return Array.from({ length: count }, (_, i) => from + i * step).map((t) => [t0 + t, value(t)])
}

function close(actual: number | null, expected: number): void {
  const tolerance = Math.max(1e-6, Math.abs(expected) * 1e-7)
  assert.ok(
    actual !== null && Math.abs(actual - expected) <= tolerance,
    `${actual}, expected ${expected}`,
  )
}
