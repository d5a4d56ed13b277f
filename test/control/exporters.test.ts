import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { until } from '../support/command.ts'
import { startTestControl } from '../support/control.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { type PowerDevice, startPowerDevice } from '../support/power-device.ts'

describe('the exporters that read a device which is switched', () => {
  let device: PowerDevice
  let exporter: Server
  let calls: string[]
  let status: number
  const node = 'x1000c0s0b0n0'

  beforeEach(async () => {
    device = await startPowerDevice({ Node0: {} })
    calls = []
    status = 200
    exporter = createServer(async (request, response) => {
      const { authorization } = request.headers
      calls.push(`${authorization} ${request.url} ${JSON.stringify(await json(request))}`)
      response.writeHead(status).end('{}')
    })
    exporter.listen(0, '127.0.0.1')
    await once(exporter, 'listening')
  })

  afterEach(async () => {
    await device.close()
    exporter.closeAllConnections()
    exporter.close()
  })

  const start = async () => {
    const { port } = exporter.address() as AddressInfo
    const access = { url: `http://127.0.0.1:${port}`, token: { env: 'EXPORTER_TOKEN' } }
    return await startTestControl({
      databaseUrl: (await cloneDatabase()).url,
      devices: [{ xname: 'x1000c0s0b0', server: device }],
      env: { EXPORTER_TOKEN: 'let-me' },
      settings: { exporters: [access] },
    })
  }

  it('leave it alone while a command is on its way, and read it when all is done', async () => {
    const atCommand: string[] = []
    device.onReset = () => void atCommand.push(...calls)
    const control = await start()
    try {
      assert.equal((await control.ended(await control.start('Off', [node]))).result, 'succeeded')
      const hold = 'Bearer let-me /api/v1/hold {"xnames":["x1000c0s0b0"],"seconds":15}'
      assert.deepEqual(atCommand, [hold])
      await until(() => (calls.length === 3 ? calls : undefined), 15)
      const last = calls.slice(1).map((call) => call.replace('Bearer let-me /api/v1/', ''))
      assert.deepEqual(last, [
        'hold {"xnames":["x1000c0s0b0"],"seconds":0}',
        'poll {"xnames":["x1000c0s0b0n0"]}',
      ])
    } finally {
      await control.close()
    }
  })

  it('cost a metric when they are gone or refuse, and no work', async () => {
    status = 403
    const control = await start()
    try {
      const record = await control.ended(await control.start('Off', [node]))
      assert.equal(record.result, 'succeeded')
      const { body } = await control.call('GET', '/metrics')
      assert.match(body, /^joulebridge_power_exporter_failures_total\{.*\} [1-9]/m)
      assert.match(body, /^joulebridge_power_exporter_up\{.*\} 0$/m)
    } finally {
      await control.close()
    }
  })
})
