import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import { limitSeconds, nextPollAt, pacesOf, pauseSeconds } from '../../exporter/polling/pace.ts'
import { exporterSection } from '../../exporter/settings.ts'
import { until } from '../support/command.ts'
import { answer, serveDevice, type TestDevice } from '../support/device.ts'
import { type Sample, samplesOf, sampleValue, startTestExporter } from '../support/exporter.ts'

const poll = (given: object = {}) => exporterSection.parse({ poll: given }).poll

describe('the pace of polling', () => {
  it('is 10 s for power and energy, and for slow sensors of Cray controllers five minutes', () => {
    const expected = { fastSeconds: 10, stateSeconds: 60, structureSeconds: 3600 }
    assert.deepEqual(pacesOf(poll(), 'cray-controller'), { ...expected, slowSeconds: 300 })
    assert.deepEqual(pacesOf(poll(), 'ilo'), { ...expected, slowSeconds: 60 })
    assert.equal(pacesOf(poll(), 'jaws').fastSeconds, 30)
  })

  it('is slower than the settings say for a kind that bears less, unless they name it', () => {
    const general = { fastSeconds: 20 }
    assert.equal(pacesOf(poll(general), 'ami').fastSeconds, 20)
    assert.equal(pacesOf(poll(general), 'hpe-pdu').fastSeconds, 300)
    const kinds = { 'hpe-pdu': { fastSeconds: 90 } }
    const stated = pacesOf(poll({ ...general, kinds }), 'hpe-pdu')
    assert.deepEqual([stated.fastSeconds, stated.slowSeconds], [90, 60])
  })

  it('slows down after failures, within five minutes and with jitter', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.1, max: 600, noNaN: true }),
        fc.nat(40),
        fc.boolean(),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (pace, inARow, unauthorized, random) => {
          const pause = pauseSeconds(pace, { inARow, unauthorized }, random)
          assert.ok(pause >= pace)
          assert.ok(pause <= Math.max(pace, 300))
          const longest = pauseSeconds(pace, { inARow, unauthorized }, 0)
          assert.ok(pause >= Math.max(pace, longest * 0.75))
        },
      ),
    )
    const failures = { inARow: 6, unauthorized: false }
    assert.notEqual(pauseSeconds(10, failures, 0.1), pauseSeconds(10, failures, 0.9))
    assert.equal(pauseSeconds(10, { inARow: 2, unauthorized: false }, 0.5), 10)
    assert.equal(pauseSeconds(10, { inARow: 1, unauthorized: true }, 0), 20)
  })

  it('does not drift, and leaves a device that is too slow a fifth of its time', () => {
    assert.equal(nextPollAt({ dueAt: 1000, startedAt: 1003, endedAt: 1500 }, 10_000), 11_000)
    assert.equal(nextPollAt({ dueAt: 1000, startedAt: 1000, endedAt: 17_000 }, 10_000), 21_000)
  })

  it('makes a reading too old after three paces and the time that its round takes', () => {
    assert.equal(limitSeconds(10, 4), 34)
  })
})

describe('a controller of 400 sensors, one request of 4 ms at a time', () => {
  const nodes = [0, 1, 2, 3]
  const paceSeconds = 0.25
  let server: TestDevice
  let asked: { path: string; at: number }[]

  before(async () => {
    asked = []
    const resources = bigController(nodes, 400)
    server = await serveDevice(async (request, response) => {
      const path = request.url ?? ''
      asked.push({ path, at: performance.now() })
      await delay(4)
      answer(response, path in resources ? 200 : 404, resources[path] ?? {})
    })
  })

  after(async () => {
    await server?.close()
  })

  it('has power and energy at their pace though a full pass takes much longer', async () => {
    const exporter = await startTestExporter({
      devices: [{ xname: 'x1000c0s0b0', server }],
      poll: {
        fastSeconds: paceSeconds,
        stateSeconds: 2,
        slowSeconds: 60,
        perDevice: 1,
        kinds: { 'cray-controller': {} },
      },
    })
    try {
      const fast = ({ path }: { path: string }) => /InputPower$/.test(path)
      await exporter.scrapeUntil((all) => samplesOf(all, 'cray_node_power_watts').length === 4)
      const from = performance.now()
      const slow = () => asked.filter(({ path }) => /Temperature$/.test(path)).length
      await until(() => (slow() >= 400 - 8 ? true : undefined), 60)
      const passSeconds = (performance.now() - from) / 1000
      assert.ok(passSeconds > 6 * paceSeconds, `a pass took ${passSeconds} s only`)
      for (const node of nodes) {
        const times = asked
          .filter((each) => fast(each) && each.path.includes(`Node${node}/`) && each.at >= from)
          .map(({ at }) => at)
        assert.ok(times.length >= 4, `node ${node} was asked ${times.length} times`)
        const gaps = times.slice(1).map((at, index) => at - (times[index] ?? 0))
        const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length / 1000
        assert.ok(mean < paceSeconds * 1.5, `node ${node} was asked each ${mean} s`)
      }
      const firstSlow = asked.findIndex(({ path }) => /Temperature$/.test(path))
      const polls = asked.slice(firstSlow).map(({ path }) => path)
      assert.ok(mostBetween(polls) <= 1, `${mostBetween(polls)} others in a round of power`)
      const samples = await exporter.scrape()
      const device = { xname: 'x1000c0s0b0' }
      assert.equal(sampleValue(samples, 'cray_device_up', device), 1)
      const requests = (round: string) =>
        sampleValue(samples, 'cray_device_round_requests', { ...device, round })
      assert.equal(requests('fast'), 8)
      assert.equal(requests('state'), 5)
    } finally {
      await exporter.close()
    }
  }).timeout(90_000)
})

describe('what a device has', () => {
  it('is looked up again at its own pace, beside the polls', async () => {
    let resources = bigController([0], 3)
    const server = await serveDevice((request, response) => {
      const path = request.url ?? ''
      answer(response, path in resources ? 200 : 404, resources[path] ?? {})
    })
    const devices = [{ xname: 'x1000c0s0b0', server }]
    const exporter = await startTestExporter({ devices, poll: { structureSeconds: 1 } })
    try {
      const nodes = (all: readonly Sample[]) =>
        samplesOf(all, 'cray_node_power_watts').map(({ labels }) => labels['xname'])
      await exporter.scrapeUntil((all) => nodes(all).length === 1)
      resources = bigController([0, 1], 6)
      const samples = await exporter.scrapeUntil((all) => nodes(all).length === 2)
      assert.equal(sampleValue(samples, 'cray_device_up', {}), 1)
      const structure = { round: 'structure' }
      const looks = await exporter.scrapeUntil(
        (all) => samplesOf(all, 'cray_device_round_requests', structure).length === 1,
      )
      assert.ok(sampleValue(looks, 'cray_device_round_requests', structure) >= 6)
      resources = bigController([1], 3)
      await exporter.scrapeUntil((all) => nodes(all).join() === 'x1000c0s0b0n1')
    } finally {
      await exporter.close()
      await server.close()
    }
  })
})

/** The most other requests in the midst of a round of power and energy, which is eight. */
function mostBetween(paths: readonly string[]): number {
  const places = paths.flatMap((path, place) => (/Input(Power|Energy)$/.test(path) ? [place] : []))
  let most = 0
  for (let first = 0; first + 7 < places.length; first += 8) {
    const span = (places[first + 7] ?? 0) - (places[first] ?? 0) + 1
    most = Math.max(most, span - 8)
  }
  return most
}

function bigController(nodes: readonly number[], sensors: number): Record<string, unknown> {
  const chassis = '/redfish/v1/Chassis'
  const found: Record<string, unknown> = {
    [chassis]: members(
      ['Enclosure', ...nodes.map((n) => `Node${n}`)].map((c) => `${chassis}/${c}`),
    ),
    [`${chassis}/Enclosure`]: { Model: 'WNC' },
    '/redfish/v1/Systems': members([]),
    '/redfish/v1/Managers': members([]),
  }
  const each = Math.ceil((sensors - nodes.length * 2) / nodes.length)
  for (const n of nodes) {
    const list = `${chassis}/Node${n}/Sensors`
    const slow = Array.from({ length: each }, (_, i) => `${list}/CPU${i}Temperature`)
    const power = `${list}/ChassisVoltageRegulator0InputPower`
    const energy = `${list}/ChassisVoltageRegulator0InputEnergy`
    found[`${chassis}/Node${n}`] = { Sensors: { '@odata.id': list }, PowerState: 'On' }
    found[list] = members([power, energy, ...slow])
    found[power] = { Reading: 400 + n, ReadingUnits: 'W' }
    found[energy] = { Reading: 1000, ReadingUnits: 'J' }
    for (const path of slow) found[path] = { Reading: 50, ReadingUnits: 'Cel' }
  }
  return found
}

function members(paths: readonly string[]) {
  return { Members: paths.map((path) => ({ '@odata.id': path })) }
}
