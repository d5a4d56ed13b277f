import assert from 'node:assert/strict'
import { join } from 'node:path'
import fc from 'fast-check'
import type { Pool } from 'pg'
import { clockErrorMs } from '../../exporter/telemetry/clock.ts'
import { packInstants } from '../../exporter/telemetry/instants.ts'
import type { TimedReading } from '../../exporter/telemetry/merge.ts'
import { until } from '../support/command.ts'
import {
  type Sample,
  samplesOf,
  sampleValue,
  startTestExporter,
  type TestExporter,
} from '../support/exporter.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { pushSetup } from '../support/push.ts'
import { startRecord } from '../support/remote-write.ts'
import { simulatorLogin, startTestSimulator, type TestSimulator } from '../support/simulator.ts'

const blade = 'x1000c0s0b0'
const energy = 'cray_node_energy_joules_total'
const devices = ['x1000c0b0', blade, 'x1000c0r1b0']

/** Controllers that push every two seconds, over TLS, on the machine's clock. */
describe('the pushes of simulated controllers', function pushes() {
  this.timeout(60_000)
  let simulator: TestSimulator
  let clock: NodeJS.Timeout
  let exporter: TestExporter
  let pool: Pool
  const closing: (() => Promise<unknown>)[] = []

  before(async () => {
    simulator = await startTestSimulator({ now: new Date(), historyHours: 0, pushSeconds: 2 })
    clock = setInterval(() => {
      simulator.clock.now = new Date()
    }, 10)
    const database = await cloneDatabase()
    pool = database.pool
    const record = await startRecord(database.url)
    const { push, env } = await pushSetup({
      intervalSeconds: 2,
      checkSeconds: 1,
      stateChanges: true,
      tls: {
        certFile: join(simulator.directory, 'simulator-ca.pem'),
        keyFile: join(simulator.directory, 'simulator-key.pem'),
      },
    })
    const { certificate } = simulator
    closing.push(simulator.end, record.close)
    exporter = await startTestExporter({
      devices: devices.map((xname) => ({
        xname,
        server: { url: simulator.deviceUrl(xname), certificate },
      })),
      env: { ...env, BMC_PASSWORD: simulatorLogin.password },
      poll: { fastSeconds: 0.5, slowSeconds: 60, stateSeconds: 600 },
      forwardUrl: `${record.url}/api/v1/write`,
      settings: { push },
    })
    closing.unshift(exporter.close)
    await exporter.scrapeUntil((samples) => speaking(samples) === devices.length)
  })

  after(async () => {
    clearInterval(clock)
    for (const close of closing) await close()
  })

  it('take the place of polls', async () => {
    const before = await exporter.scrape()
    const after = await exporter.scrapeUntil((all) => events(all) > events(before) + 20)
    assert.equal(asked(after), asked(before))
    const taken = 'cray_sensor_reading_timestamp_seconds'
    assert.ok(sampleValue(after, taken, at) > sampleValue(before, taken, at) + 1)
    assert.deepEqual(samplesOf(after, 'joulebridge_push_refused_requests_total'), [])
  })

  it('reach the record with each sample and the times of the device', async () => {
    const times = await until(async () => {
      const found = (await stored(pool)).map(({ time }) => time).filter(isOfDevice)
      return found.length >= 5 ? found : undefined
    }, 20)
    const gaps = times.slice(1).map((time, i) => time - (times[i] ?? 0))
    const pushed = gaps.slice(-4)
    assert.deepEqual([...new Set(pushed)], [1000])
  })

  it('become one row for the sensors of one device and instant', async () => {
    const { rows } = await pool.query<{ node: number; frames: number }>(
      `select count(*)::int as node, count(distinct (f.frame, f.time))::int as frames
       from series s join frames f on f.frame = s.id >> 6
       where s.metric in ($1, 'cray_node_power_watts') and s.labels ->> 'bmc' = $2
         and f.v[(s.id & 63) + 1] is not null
         and extract(milliseconds from f.time)::int % 1000 = 61`,
      [energy, blade],
    )
    assert.ok((rows[0]?.frames ?? 0) >= 5)
    assert.equal(rows[0]?.node, 2 * (rows[0]?.frames ?? 0))
  })

  it('begin anew after a restart that forgot them, polls filling the gap', async () => {
    const path = '/redfish/v1/Managers/BMC/Actions/Manager.Reset'
    const before = asked(await exporter.scrape())
    const resetAt = Date.now()
    const reset = await simulator.ask(blade, path, { body: { ResetType: 'ForceRestart' } })
    assert.equal(reset.status, 204)
    await exporter.scrapeUntil((samples) => speaking(samples) === devices.length - 1)
    await exporter.scrapeUntil((samples) => asked(samples) > before + 5)
    await exporter.scrapeUntil((samples) => speaking(samples) === devices.length)
    const again = await exporter.scrape()
    const later = await exporter.scrapeUntil((all) => events(all) > events(again) + 20)
    assert.equal(asked(later), asked(again), 'polls end when it speaks')
    assert.deepEqual(samplesOf(later, 'joulebridge_forward_samples_total', overtaken), [])
    const all = await until(async () => {
      const found = await stored(pool)
      return (found.at(-1)?.time ?? 0) > resetAt + 8000 ? found : undefined
    }, 20)
    const gaps = all.slice(1).map(({ time }, i) => time - (all[i]?.time ?? 0))
    const silent = gaps.filter((gap) => gap > 2000)
    assert.ok(silent.length <= 1 && (silent[0] ?? 0) < 8000, `gaps of ${silent} ms`)
    assert.deepEqual(
      all.filter(({ time }) => !isOfDevice(time)),
      [],
      'polled samples have the times of the device too',
    )
    const values = all.map(({ value }) => value)
    assert.deepEqual(
      values,
      [...values].sort((a, b) => a - b),
      'a counter that never falls',
    )
  })

  it('tell that a node was turned off before its state is polled', async () => {
    const off = { xname: `${blade}n0`, state: 'Off' }
    const path = '/redfish/v1/Systems/Node0/Actions/ComputerSystem.Reset'
    assert.equal(sampleValue(await exporter.scrape(), 'cray_power_state', off), 0)
    const answer = await simulator.ask(blade, path, { body: { ResetType: 'ForceOff' } })
    assert.equal(answer.status, 204)
    await exporter.scrapeUntil((samples) => sampleValue(samples, 'cray_power_state', off) === 1)
  })
})

const overtaken = { outcome: 'overtaken' }
const at = { xname: `${blade}n0`, sensor: 'ChassisVoltageRegulator0InputEnergy' }

function speaking(samples: readonly Sample[]): number {
  return sampleValue(samples, 'joulebridge_push_subscriptions', { state: 'speaking' })
}

function events(samples: readonly Sample[]): number {
  return sampleValue(samples, 'joulebridge_push_events_total', { kind: 'telemetry' })
}

function asked(samples: readonly Sample[]): number {
  return sampleValue(samples, 'cray_device_requests_total', { xname: blade })
}

/** The simulated blade takes its sensors 61 ms after each full second. */
function isOfDevice(timeMs: number): boolean {
  return timeMs % 1000 === 61
}

/** The node's energy in the record, in order of time; ends of the series left out. */
async function stored(pool: Pool): Promise<{ time: number; value: number }[]> {
  const { rows } = await pool.query<{ time: Date; value: number }>(
    `select p.time, p.value from series s cross join lateral
       series_samples(s.id >> 6, (s.id & 63)::int2, null, null) p
     where s.metric = $1 and s.labels ->> 'xname' = $2 order by p.time`,
    [energy, at.xname],
  )
  return rows.map(({ time, value }) => ({ time: time.getTime(), value }))
}

describe('the clock of a device', () => {
  const now = 1_800_000_000_000

  it('is believed while it is right within five minutes, late deliveries among them', () => {
    assert.equal(clockErrorMs(now - 240_000, now, 0), 0)
    assert.equal(clockErrorMs(now + 240_000, now, 3_600_000), 0)
  })

  it('is corrected by whole seconds, always by the same while that fits', () => {
    const error = clockErrorMs(now - 3_600_400, now, 0)
    assert.equal(error, -3_600_000)
    assert.equal(clockErrorMs(now - 3_660_400, now, error), error)
    assert.equal(clockErrorMs(now + 86_400_000, now, error), 86_400_000)
  })
})

describe('requests of pushed readings', () => {
  const reading = fc.record({
    metric: fc.constant('cray_node_power_watts' as const),
    labels: fc.record({ bmc: fc.constantFrom('x1000c0b0', 'x1000c0s0b0') }),
    key: fc.constantFrom('a', 'b', 'c', 'd'),
    timeMs: fc.integer({ min: 1, max: 6 }),
    value: fc.integer(),
  })

  it('hold all readings once, those of one device and instant together, else few enough', () => {
    fc.assert(
      fc.property(fc.array(reading), fc.integer({ min: 1, max: 8 }), (given, most) => {
        const requests = packInstants(given, most)
        assert.deepEqual(new Set(requests.flat()), new Set(given))
        assert.equal(requests.flat().length, given.length)
        const instants = requests.map((request) => new Set(request.map(instantOf)))
        const all = instants.flatMap((each) => [...each])
        assert.equal(new Set(all).size, all.length)
        requests.forEach((request, i) => {
          assert.ok(request.length <= most || instants[i]?.size === 1)
        })
      }),
    )
  })
})

function instantOf({ labels, timeMs }: TimedReading): string {
  return `${labels['bmc']} ${timeMs}`
}
