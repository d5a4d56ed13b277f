import assert from 'node:assert/strict'
import { until } from '../support/command.ts'
import { startTestControl, type TestControl } from '../support/control.ts'
import { login } from '../support/device.ts'
import { samplesOf, startTestExporter, type TestExporter } from '../support/exporter.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { type PowerDevice, startPowerDevice } from '../support/power-device.ts'

const pdu = 'x3000m1'
const outlet = `${pdu}p0v1`

async function pass(milliseconds: number): Promise<void> {
  const since = performance.now()
  await until(() => performance.now() - since > milliseconds || undefined, 15)
}

describe('control beside the exporter that reads the same device', () => {
  const closing: { close(): Promise<void> }[] = []
  /** One device with two doors: what comes by the exporter's is told from what control asks. */
  let device: PowerDevice
  let door: PowerDevice

  afterEach(async () => {
    for (const each of closing.splice(0).reverse()) await each.close()
  })

  async function start(pollSeconds: number): Promise<[TestExporter, TestControl]> {
    device = await startPowerDevice({ AA1: {} })
    door = await startPowerDevice({})
    door.nodes = device.nodes
    closing.push(device, door)
    const exporter = await startTestExporter({
      devices: [{ xname: pdu, server: door }],
      poll: { fastSeconds: pollSeconds, slowSeconds: pollSeconds },
      settings: {
        credentials: [
          { username: 'root', password: { env: 'BMC_PASSWORD' }, insecureSkipVerify: true },
        ],
        token: { env: 'EXPORTER_TOKEN' },
      },
      env: { BMC_PASSWORD: login.password, EXPORTER_TOKEN: 'let-me' },
    })
    closing.push(exporter)
    const control = await startTestControl({
      databaseUrl: (await cloneDatabase()).url,
      devices: [{ xname: pdu, server: device }],
      env: { EXPORTER_TOKEN: 'let-me' },
      settings: {
        timeoutSeconds: 20,
        exporters: [{ url: exporter.url, token: { env: 'EXPORTER_TOKEN' } }],
      },
    })
    closing.push(control)
    await exporter.scrapeUntil((samples) => isOutlet(samples, 'On'))
    return [exporter, control]
  }

  const isOutlet = (samples: Awaited<ReturnType<TestExporter['scrape']>>, state: string) =>
    samplesOf(samples, 'cray_pdu_outlet_state', { state })[0]?.value === 1

  it('has it left alone while a command is on its way', async () => {
    const [exporter, control] = await start(0.05)
    let answer = () => {}
    device.onReset = () =>
      new Promise((resolve) => {
        answer = () => resolve(undefined)
      })
    const id = await control.start('Off', [outlet])
    await until(() => device.open.now === 1 || undefined, 15)
    await exporter.scrapeUntil((samples) => samplesOf(samples, 'cray_device_held')[0]?.value === 1)
    // What was on its way when the hold came has a moment to arrive.
    await pass(300)
    const before = door.requests.length
    await pass(700)
    assert.equal(door.requests.length, before)
    answer()
    assert.equal((await control.ended(id)).result, 'succeeded')
    await until(() => door.requests.length > before || undefined, 15)
    await exporter.scrapeUntil((samples) => samplesOf(samples, 'cray_device_held')[0]?.value === 0)
  })

  it('has it read as soon as the state is reached, long before its next poll', async () => {
    const [exporter, control] = await start(600)
    // A poll that has just ended is not repeated within a second.
    device.answerMs = 1100
    assert.equal((await control.ended(await control.start('Off', [outlet]))).result, 'succeeded')
    await exporter.scrapeUntil((samples) => isOutlet(samples, 'Off'))
  })
})
