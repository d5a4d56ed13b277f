import assert from 'node:assert/strict'
import type { Service } from '../../exporter/service/http.ts'
import { until } from '../support/command.ts'
import { startTestControl, type TestControl } from '../support/control.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { type PowerDevice, startPowerDevice } from '../support/power-device.ts'
import { startRecord, write } from '../support/remote-write.ts'

describe('the power that was measured around a command', () => {
  let device: PowerDevice
  let record: Service
  let control: TestControl
  const node = 'x1000c0s0b0n0'

  beforeEach(async () => {
    device = await startPowerDevice({ Node0: {} })
    const databaseUrl = (await cloneDatabase()).url
    record = await startRecord(databaseUrl)
    const devices = [{ xname: 'x1000c0s0b0', server: device }]
    control = await startTestControl({ databaseUrl, devices })
  })

  afterEach(async () => {
    await Promise.all([control.close(), record.close(), device.close()])
  })

  const measure = async (watts: number) => {
    const labels = { __name__: 'cray_node_power_watts', xname: node, bmc: 'x1000c0s0b0' }
    const { status } = await write(record, [{ labels, samples: [[Date.now(), watts]] }])
    assert.ok(status < 300)
  }
  const taskOf = async (id: string) => {
    return (await control.call('GET', `/transitions/${id}`)).body.tasks[0]
  }

  it('confirms an Off besides what the device says, when it fell', async () => {
    await measure(412)
    const id = await control.start('Off', [node])
    await control.ended(id)
    assert.equal((await taskOf(id)).confirmedBy, 'power_state')
    await measure(44)
    const task = await until(async () => {
      const found = await taskOf(id)
      return found.confirmedBy === 'both' ? found : undefined
    }, 15)
    assert.deepEqual([task.wattsBefore, task.wattsAfter], [412, 44])
  })

  it('confirms alone an On that was not to be waited for, when it rose', async () => {
    Object.assign(device.nodes['Node0'] ?? {}, { powerState: 'Off' })
    await measure(44)
    const id = await control.start('On', [node], { taskDeadlineMinutes: 0 })
    await control.ended(id)
    await measure(230)
    await until(async () => (await taskOf(id)).confirmedBy === 'telemetry' || undefined, 15)
  })

  it('does not confirm an Off after which it stayed as it was', async () => {
    await measure(412)
    const id = await control.start('Off', [node])
    await control.ended(id)
    await measure(410)
    await control.ended(await control.start('On', [node]))
    await measure(640)
    await until(async () => {
      const { body } = await control.call('GET', '/transitions')
      const all = await Promise.all(
        body.transitions.map(({ transitionID }: { transitionID: string }) => taskOf(transitionID)),
      )
      return all.some(({ confirmedBy }) => confirmedBy === 'both') || undefined
    }, 15)
    assert.equal((await taskOf(id)).confirmedBy, 'power_state')
  })
})
