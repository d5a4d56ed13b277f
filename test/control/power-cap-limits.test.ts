import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  limitFaults,
  limitWrites,
  type PowerLimit,
  parseControl,
  parseEnvironment,
  parsePower,
  unmetLimits,
} from '../../control/caps/limit.ts'
import { until } from '../support/command.ts'
import { startTestControl } from '../support/control.ts'
import { spawnControl } from '../support/control-process.ts'
import { crayLimits, startLimitDevice } from '../support/limit-device.ts'
import { describeMockups, recorded } from '../support/mockups.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { simulatorLogin, startTestSimulator } from '../support/simulator.ts'

const watts = fc.integer({ min: 0, max: 3000 })
const limits = fc
  .array(fc.record({ watts, min: watts, more: watts }), { minLength: 1, maxLength: 5 })
  .map((list) =>
    list.map(
      ({ watts: set, min, more }, index): PowerLimit => ({
        name: index === 0 ? 'Node Power Limit' : `Accelerator${index - 1} Power Limit`,
        scope: index === 0 ? 'node' : 'accelerator',
        watts: set,
        min,
        max: min + more,
        powerUp: undefined,
        place: { form: 'control', path: `/Controls/${index}`, deep: '/Controls.Deep' },
      }),
    ),
  )
const wanted = fc.dictionary(
  fc.constantFrom('Node Power Limit', 'Accelerator0 Power Limit', 'Accelerator3 Power Limit'),
  watts,
)

/** What a device has that does as it is told. */
function carriedOut(before: readonly PowerLimit[], writes: ReturnType<typeof limitWrites>) {
  const members = writes.flatMap(({ body }) => (body as { Members: Member[] }).Members)
  return before.map((limit): PowerLimit => {
    const path = limit.place.form === 'control' ? limit.place.path : undefined
    const member = members.find((each) => each['@odata.id'] === path)
    return member ? { ...limit, watts: member.SetPoint ?? 0 } : limit
  })
}
type Member = { '@odata.id': string; SetPoint?: number }

describe('what is sent to set power limits', () => {
  it('makes all as wanted where nothing speaks against it, and leaves the others', () => {
    fc.assert(
      fc.property(limits, wanted, (before, asked) => {
        if (limitFaults(before, asked).length > 0) return
        const after = carriedOut(before, limitWrites(before, asked))
        assert.deepEqual(unmetLimits(after, asked), [])
        for (const [index, limit] of before.entries()) {
          if (!Object.hasOwn(asked, limit.name)) assert.equal(after[index]?.watts, limit.watts)
        }
        assert.deepEqual(limitWrites(after, asked), [], 'nothing is sent twice')
      }),
    )
  })

  it('never leaves a range, nor accelerators with more than before beyond their node', () => {
    const excess = (list: readonly PowerLimit[]) => {
      const [node, ...rest] = list
      const sum = rest.reduce((all, each) => all + each.watts, 0)
      return node?.watts ? sum - node.watts : 0
    }
    fc.assert(
      fc.property(limits, wanted, (before, asked) => {
        if (limitFaults(before, asked).length > 0) return
        const after = carriedOut(before, limitWrites(before, asked))
        for (const { name, watts: set, min = 0, max = 0 } of after) {
          if (asked[name]) assert.ok(set >= min && set <= max)
        }
        assert.ok(excess(after) <= 0 || excess(after) < excess(before))
      }),
    )
  })
})

describeMockups('the power limits of a recorded device', () => {
  it('are those of its Controls, PowerControl or EnvironmentMetrics', async () => {
    const controls = '/redfish/v1/Chassis/Node0/Controls'
    const shown = async (kind: string, id: string) => {
      const path = `${controls}/${id}`
      const {
        name,
        watts: set,
        min,
        max,
      } = parseControl(controls, path, await recorded(kind, path)) ?? {}
      return [name, set, min, max]
    }
    assert.deepEqual(await shown('EX235a', 'NodePowerLimit'), ['Node Power Limit', 0, 764, 2754])
    assert.deepEqual(await shown('EX235a', 'Accelerator3PowerLimit'), [
      'Accelerator3 Power Limit',
      0,
      100,
      560,
    ])
    assert.deepEqual(await shown('EX425', 'NodePowerLimit'), ['Node Power Limit', 0, 350, 925])
    const power = async (kind: string, path: string) =>
      parsePower(path, await recorded(kind, path)).map(({ watts: set, min, max }) => [
        set,
        min,
        max,
      ])
    assert.deepEqual(await power('DL325', '/redfish/v1/Chassis/1/Power'), [[0, undefined, 1000]])
    assert.deepEqual(await power('Gigabyte', '/redfish/v1/Chassis/Self/Power'), [[500, 61, 900]])
    assert.deepEqual(parseEnvironment('/e', { PowerLimitWatts: null }), [])
  })
})

describe('a power limit of a simulated device', () => {
  it('is set and read back, and the device then shows it to all', async () => {
    const simulator = await startTestSimulator({ historyHours: 0 })
    const bmc = 'x1000c0s0b0'
    const server = { url: simulator.deviceUrl(bmc), certificate: simulator.certificate }
    const control = await startTestControl({
      databaseUrl: (await cloneDatabase()).url,
      devices: [{ xname: bmc, server }],
      settings: { capSettleSeconds: 1 },
      env: { BMC_PASSWORD: simulatorLogin.password },
    })
    try {
      const xnames = [`${bmc}n0`]
      const asked = await control.call('POST', '/power-cap/snapshot', { xnames })
      const [found] = (await control.endedCap(asked.body.taskID)).components
      const { name, minimumValue: value } = found.powerCapLimits[0]
      const components = [{ xname: `${bmc}n0`, controls: [{ name, value }] }]
      const { body } = await control.call('PATCH', '/power-cap', { components })
      const record = await control.endedCap(body.taskID)
      assert.equal(record.taskCounts.succeeded, 1, JSON.stringify(record))
      const { body: shown } = await simulator.ask(
        bmc,
        '/redfish/v1/Chassis/Node0/Controls/NodePowerLimit',
      )
      assert.equal((shown as { SetPoint: number }).SetPoint, value)
    } finally {
      await control.close()
      await simulator.end()
    }
  })
})

describe('a power limit whose process is killed', () => {
  it('is set by another one, which reads first and sends nothing that is done', async () => {
    const node = 'x1000c0s0b0n0'
    for (const fate of ['done, no answer', 'lost, no answer'] as const) {
      const device = await startLimitDevice(crayLimits())
      const { url: databaseUrl } = await cloneDatabase()
      const devices = [{ xname: 'x1000c0s0b0', server: device }]
      const settings = { leaseSeconds: 0.5, capSettleSeconds: 0.1 }
      const options = { databaseUrl, devices, settings }
      device.onWrite = () => fate
      const first = await spawnControl(options)
      const controls = [{ name: 'Node Power Limit', value: 900 }]
      const { body } = await first.call('PATCH', '/power-cap', {
        components: [{ xname: node, controls }],
      })
      await until(
        () => device.writes[0],
        10,
        () => 'nothing was sent',
      )
      await first.kill()
      device.onWrite = () => undefined
      const second = await startTestControl(options)
      try {
        const record = await second.endedCap(body.taskID)
        assert.equal(record.taskCounts.succeeded, 1, JSON.stringify(record))
        assert.equal(device.writes.length, fate === 'done, no answer' ? 1 : 2)
      } finally {
        await second.close()
        await device.close()
      }
    }
  })
})
