import assert from 'node:assert/strict'
import fc from 'fast-check'
import { allowedNow } from '../../control/ramp.ts'
import type { Service } from '../../exporter/service/http.ts'
import { until } from '../support/command.ts'
import { startTestControl, type TestControl } from '../support/control.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { type PowerDevice, startPowerDevice } from '../support/power-device.ts'
import { startRecord, type WrittenSeries, write } from '../support/remote-write.ts'

describe('the ramp', () => {
  let device: PowerDevice
  let record: Service
  let control: TestControl
  let other: PowerDevice
  let offset = 0
  const nodeOf = (number: number) => `x1000c0s0b0n${number}`
  const nodes = [0, 1, 2, 3, 4].map(nodeOf)

  before(async () => {
    const systems = nodes.map((_, number) => [`Node${number}`, { powerState: 'Off' }])
    device = await startPowerDevice(Object.fromEntries(systems))
    other = await startPowerDevice({ '1': { powerState: 'Off' } })
    const databaseUrl = (await cloneDatabase()).url
    record = await startRecord(databaseUrl)
    control = await startTestControl({
      databaseUrl,
      devices: [
        { xname: 'x1000c0s0b0', server: device },
        { xname: 'x3000c0s1b0', server: other },
      ],
      now: () => new Date(Date.now() + offset),
      settings: { ramp: { nodesPerMinute: 12, wattsPerMinute: 6000, wattsPerNode: 1500 } },
    })
  })

  after(async () => {
    await Promise.all([control.close(), record.close(), device.close(), other.close()])
  })

  /** What the exporter would have told of nodes 0 to 3, an hour ago and now, when all are off. */
  async function tell(): Promise<void> {
    const at = Date.now()
    const series = (name: string, node: number, values: [number, number], more = {}) => ({
      labels: { __name__: name, xname: nodeOf(node), bmc: 'x1000c0s0b0', ...more },
      samples: [
        [at - 3_600_000, values[0]],
        [at, values[1]],
      ] as const,
    })
    const limit = (node: number, watts: number, control: string, more = {}) =>
      series('cray_power_limit_watts', node, [watts, watts], { control, ...more })
    const told: WrittenSeries[] = [
      series('cray_node_power_watts', 0, [2750.5, 40]),
      limit(0, 4000, 'NodePowerLimit'),
      limit(0, 300, 'Accelerator0PowerLimit'),
      series('cray_server_power_watts', 1, [2750, 40]),
      limit(1, 900, 'NodePowerLimit', { mode: 'Automatic' }),
      // It was off all the time, and so tells nothing of what it draws.
      series('cray_node_power_watts', 2, [40, 40]),
      series('cray_power_state', 2, [0, 0], { state: 'On' }),
      limit(2, 700, 'NodePowerLimit', { mode: 'Disabled' }),
      series('cray_node_power_watts', 3, [500, 40]),
      series('cray_power_state', 3, [1, 0], { state: 'On' }),
      limit(3, 0, 'NodePowerLimit'),
    ]
    assert.ok((await write(record, told)).status < 300)
  }

  it('counts a node by its limit and its power of before, as a dry run tells', async () => {
    await tell()
    const location = nodes.map((xname) => ({ xname }))
    const { body } = await control.call('POST', '/transitions', {
      operation: 'On',
      location,
      dryRun: true,
    })
    assert.deepEqual(
      body.plan.map(({ rampWatts, rampWattsFrom }: Record<string, unknown>) => {
        return [rampWatts, rampWattsFrom]
      }),
      [
        [2750.5, 'measured'],
        [900, 'power_limit'],
        [1500, 'watts_per_node'],
        [500, 'measured'],
        [1500, 'watts_per_node'],
      ],
    )
    const off = { operation: 'Off', location, dryRun: true }
    const [entry] = (await control.call('POST', '/transitions', off)).body.plan
    assert.equal(entry.rampWatts, undefined)
  })

  it('turns on no more watts and no more nodes than it allows, in order', async () => {
    const id = await control.start('On', nodes)
    const on = async (count: number) => {
      await until(() => device.resets.length >= count || undefined, 15)
      // Each of these is claimed in a round in which more nodes would have been.
      for (const _ of [1, 2]) await control.ended(await control.start('Off', ['x3000c0s1b0n0']))
      assert.equal(device.resets.length, count)
    }
    // 2750.5 W, then 900 W and, as that is less than a sixth of 6000 W, 1500 W with it.
    await on(1)
    offset += 11_000
    await on(3)
    // Together 5150.5 W: 500 W more fit into the minute, 1500 W more do not.
    offset += 11_000
    await on(4)
    offset += 11_000
    await on(4)
    offset += 30_000
    assert.equal((await control.ended(id)).taskCounts.succeeded, 5)
  })

  it('lets no minute have more than it allows, and everyone go in the end', () => {
    const ramp = fc.record({
      nodesPerMinute: fc.option(fc.integer({ min: 1, max: 40 }), { nil: undefined }),
      wattsPerMinute: fc.option(fc.integer({ min: 100, max: 9000 }), { nil: undefined }),
    })
    const watts = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 30 })
    const pause = fc.integer({ min: 1, max: 15 })
    fc.assert(
      fc.property(ramp, watts, pause, ({ nodesPerMinute, wattsPerMinute }, draws, pauseSeconds) => {
        const settings = { nodesPerMinute, wattsPerMinute, wattsPerNode: 1000 }
        const wattsOf = (xname: string) => draws[Number(xname)] ?? 0
        const turnedOn: { xname: string; at: number }[] = []
        for (let at = 0; turnedOn.length < draws.length; at += pauseSeconds) {
          assert.ok(at <= (60 + pauseSeconds) * draws.length, 'not all were turned on')
          const waiting = draws.map((_, index) => String(index)).slice(turnedOn.length)
          const recent = turnedOn
            .map(({ xname, at: then }) => ({ xname, secondsAgo: at - then }))
            .filter(({ secondsAgo }) => secondsAgo < 60)
          const allowed = allowedNow({ waiting, recent, ramp: settings, wattsOf })
          for (const xname of waiting.slice(0, allowed)) turnedOn.push({ xname, at })
          const minute = turnedOn.filter(({ at: then }) => at - then < 60)
          const sum = minute.reduce((total, { xname }) => total + wattsOf(xname), 0)
          assert.ok(minute.length <= (nodesPerMinute ?? Number.POSITIVE_INFINITY))
          assert.ok(minute.length === 1 || sum <= (wattsPerMinute ?? Number.POSITIVE_INFINITY))
        }
      }),
    )
  })
})
