import assert from 'node:assert/strict'
import { until } from '../support/command.ts'
import {
  type Sample,
  samplesOf,
  sampleValue,
  startTestExporter,
  type TestExporter,
} from '../support/exporter.ts'
import { destination, type PushSection, post, pushSetup, telemetry } from '../support/push.ts'
import {
  atSecond,
  bmc,
  type Controller,
  node,
  polled,
  pushed,
  sensors,
  serveController,
} from '../support/push-controller.ts'
import { type PushReceiver, startPushReceiver } from '../support/push-receiver.ts'

const power = 'cray_node_power_watts'
const outcomes = 'joulebridge_forward_samples_total'

describe('what is pushed, on its way to a receiver', () => {
  let device: Controller
  let receiver: PushReceiver
  let exporter: TestExporter
  let push: PushSection

  beforeEach(async () => {
    device = await serveController()
    receiver = await startPushReceiver()
  })

  afterEach(async () => {
    await exporter.close()
    await receiver.close()
    await device.close()
  })

  const start = async (queueMegabytes = 64) => {
    const setup = await pushSetup({ intervalSeconds: 60 })
    push = setup.push
    exporter = await startTestExporter({
      devices: [{ xname: bmc, server: device }],
      env: setup.env,
      settings: {
        push,
        forward: { url: receiver.url, intervalSeconds: 0.1, queueMegabytes },
      },
    })
    await exporter.scrapeUntil((samples) => samplesOf(samples, power).length > 0)
  }
  const send = async (...seconds: number[]) => {
    const samples = seconds.map((second) => pushed(second, String(100 + second)))
    const events = [telemetry('Power', samples)]
    assert.equal(await post(destination(push, bmc), { Events: events, seconds }), 204)
  }
  const taken = () => receiver.samplesOf(power, { xname: node })
  const timesTaken = () => taken().map(({ timeMs }) => timeMs)
  const all = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, i) => Date.parse(atSecond(from + i)))

  it('loses nothing at the change from polls to pushes, and has no time twice', async () => {
    const path = `${sensors}/ChassisVoltageRegulator0InputPower`
    await start()
    await until(() => (taken().length > 0 ? true : undefined), 10)
    for (const second of [3, 6]) {
      device.resources.set(path, polled('Power', 'W', 100 + second, second))
      await until(
        () => (timesTaken().includes(Date.parse(atSecond(second))) ? true : undefined),
        10,
      )
    }
    await send(4, 5, 6, 7, 8)
    await until(() => (timesTaken().includes(Date.parse(atSecond(8))) ? true : undefined), 10)
    const wanted = [0, 3, 4, 5, 6, 7, 8].map((second) => Date.parse(atSecond(second)))
    assert.deepEqual([...timesTaken()].sort(), wanted)
    for (const { timeMs, value } of taken()) {
      assert.equal(value, timeMs === wanted[0] ? 100 : 100 + (timeMs - (wanted[0] ?? 0)) / 1000)
    }
    const samples = await exporter.scrape()
    assert.deepEqual(samplesOf(samples, outcomes, { outcome: 'overtaken' }), [])
  })

  it('is kept until its sensor has been polled for the first time', async () => {
    const energy = 'cray_node_energy_joules_total'
    const path = `${sensors}/ChassisVoltageRegulator0InputEnergy`
    const resource = device.resources.get(path)
    device.resources.delete(path)
    await start()
    const energies = (...seconds: number[]) =>
      telemetry(
        'Energy',
        seconds.map((second) => pushed(second, String(5000 + second))),
      )
    const url = destination(push, bmc)
    assert.equal(await post(url, { Events: [energies(1, 2, 3)] }), 204)
    device.resources.set(path, resource)
    const times = () => receiver.samplesOf(energy, { xname: node }).map(({ timeMs }) => timeMs)
    await until(() => (times().length > 0 ? true : undefined), 10)
    assert.equal(await post(url, { Events: [energies(4, 5)] }), 204)
    await until(() => (times().includes(Date.parse(atSecond(5))) ? true : undefined), 10)
    assert.deepEqual([...times()].sort(), all(0, 5))
  })

  it('waits while the receiver fails, and comes in order when it takes samples again', async () => {
    await start()
    await until(() => (taken().length > 0 ? true : undefined), 10)
    receiver.answer = () => ({ status: 503, headers: { 'retry-after': '0' } })
    for (let second = 1; second <= 5; second++) await send(second)
    await until(() => (receiver.refused > 2 ? true : undefined), 10)
    receiver.answer = () => 'no answer'
    await send(6)
    await until(() => (receiver.unanswered > 0 ? true : undefined), 10)
    const before = receiver.refused
    receiver.answer = () => ({ status: 429, headers: { 'retry-after': new Date().toUTCString() } })
    receiver.dropConnections()
    await until(() => (receiver.refused > before ? true : undefined), 20)
    receiver.answer = () => ({ status: 204 })
    await until(() => (timesTaken().includes(Date.parse(atSecond(6))) ? true : undefined), 20)
    assert.deepEqual(timesTaken(), all(0, 6))
    const samples = await exporter.scrape()
    for (const outcome of ['refused', 'dropped']) {
      assert.deepEqual(samplesOf(samples, outcomes, { outcome }), [], outcome)
    }
  })

  it('goes on after what the receiver refuses, which is counted', async () => {
    await start()
    await until(() => (taken().length > 0 ? true : undefined), 10)
    receiver.answer = () => ({ status: 400 })
    await send(1, 2)
    const refused = () => receiver.refusedOf(power, { xname: node }).length
    await until(() => (refused() >= 2 ? true : undefined), 10)
    await exporter.scrapeUntil((samples) => countOf(samples, 'refused') >= 2)
    receiver.answer = () => ({ status: 204 })
    await send(3)
    await until(() => (timesTaken().includes(Date.parse(atSecond(3))) ? true : undefined), 10)
    assert.deepEqual(timesTaken(), [...all(0, 0), ...all(3, 3)])
  })

  it('is dropped, oldest first, beyond the bound, and counted', async () => {
    await start(0.001)
    await until(() => (taken().length > 0 ? true : undefined), 10)
    receiver.answer = () => ({ status: 503, headers: { 'retry-after': '0' } })
    let second = 0
    while (countOf(await exporter.scrape(), 'dropped') < 5) await send(++second)
    const samples = await exporter.scrape()
    assert.ok(sampleValue(samples, 'joulebridge_forward_waiting_bytes', {}) < 10_000)
    receiver.answer = () => ({ status: 204 })
    await send(++second)
    await until(() => (timesTaken().includes(Date.parse(atSecond(second))) ? true : undefined), 10)
    assert.deepEqual([...timesTaken()].sort(), timesTaken())
  })

  it('is sent at the end, which takes seconds at most', async () => {
    await start()
    await send(1, 2, 3)
    await exporter.close()
    await until(() => (timesTaken().includes(Date.parse(atSecond(3))) ? true : undefined), 10)
    receiver.answer = () => 'no answer'
    await start()
    await send(4)
    const began = performance.now()
    await exporter.close()
    assert.ok(performance.now() - began < 8000)
  })
})

function countOf(samples: readonly Sample[], outcome: string): number {
  return samplesOf(samples, outcomes, { outcome })[0]?.value ?? 0
}
