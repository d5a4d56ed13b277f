import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { until } from '../support/command.ts'
import { startTestControl } from '../support/control.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startPowerDevice } from '../support/power-device.ts'

describe('the devices that power control switches', () => {
  it('come and go with the device file that the exporter reads too', async () => {
    const device = await startPowerDevice({ Node0: {} })
    const path = join(tmpdir(), `joulebridge-devices-${process.pid}.yml`)
    await writeFile(path, '[]')
    const control = await startTestControl({
      databaseUrl: (await cloneDatabase()).url,
      devices: [],
      certificates: [device.certificate],
      settings: { discovery: { file: { path, everySeconds: 0.05 } } },
    })
    const statusOf = async () => {
      const { body } = await control.call('GET', '/power-status?xname=x1000c0s0b0n0')
      return body.status[0].powerState
    }
    try {
      assert.equal(await statusOf(), '')
      await writeFile(path, stringify([{ xname: 'x1000c0s0b0', url: device.url }]))
      await until(async () => ((await statusOf()) === 'on' ? true : undefined), 15)
      const record = await control.ended(await control.start('Off', ['x1000c0s0b0n0']))
      assert.equal(record.result, 'succeeded')
      await writeFile(path, '[]')
      await until(async () => ((await statusOf()) === '' ? true : undefined), 15)
    } finally {
      await control.close()
      await device.close()
      await rm(path)
    }
  })

  it('may leave the inventory while a task is at work on them, which then ends', async () => {
    const device = await startPowerDevice({ Node0: {} })
    device.onReset = () => 'ignored'
    const path = join(tmpdir(), `joulebridge-leaving-${process.pid}.yml`)
    await writeFile(path, stringify([{ xname: 'x1000c0s0b0', url: device.url }]))
    const control = await startTestControl({
      databaseUrl: (await cloneDatabase()).url,
      devices: [],
      certificates: [device.certificate],
      settings: { discovery: { file: { path, everySeconds: 0.05 } } },
    })
    try {
      const deadlineSeconds = { gracefulshutdown: 1 }
      const id = await control.start('Soft-Off', ['x1000c0s0b0n0'], { deadlineSeconds })
      await until(() => device.resets[0], 15)
      await writeFile(path, '[]')
      const { tasks } = await control.ended(id)
      assert.equal(tasks[0].state, 'timed-out')
    } finally {
      await control.close()
      await device.close()
      await rm(path)
    }
  })
})
