import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { answer, serveAnyone, serveDevice, type TestDevice } from '../support/device.ts'
import {
  type Sample,
  samplesOf,
  sampleValue,
  startTestExporter,
  type TestExporter,
} from '../support/exporter.ts'
import { collectionOf, link } from '../support/redfish.ts'
import { serveTls } from '../support/tls-server.ts'

/** What one resource does instead of an answer, and what that counts as. */
const faults: Record<string, { reason: string; reply(response: ServerResponse): void }> = {
  'a 404': { reason: 'unsupported', reply: (response) => answer(response, 404, {}) },
  'a 403': { reason: 'unauthorized', reply: (response) => answer(response, 403, {}) },
  'a 500 in HTML': {
    reason: 'malformed',
    reply: (response) => {
      response.writeHead(500, { 'content-type': 'text/html' }).end('<h1>stack traceback</h1>')
    },
  },
  'a 503': { reason: 'unreachable', reply: (response) => answer(response, 503, {}) },
  'JSON that ends too early': {
    reason: 'malformed',
    reply: (response) => void response.end('{"Reading": 41'),
  },
  'no answer': { reason: 'timeout', reply: () => {} },
  'a body of a gigabyte': {
    reason: 'malformed',
    reply: (response) => sendZeros(response, 2 ** 30),
  },
  'a byte each tenth of a second': {
    reason: 'timeout',
    reply: (response) => {
      const timer = setInterval(() => response.write(' '), 100)
      response.once('close', () => clearInterval(timer))
    },
  },
  'a redirect to itself': {
    reason: 'malformed',
    reply: (response) => {
      const location = response.req.url ?? '/'
      response.writeHead(302, { location }).end()
    },
  },
  'a connection that breaks': { reason: 'unreachable', reply: (response) => response.destroy() },
  'a number where an object belongs': { reason: '', reply: (response) => answer(response, 200, 7) },
  'wrong types throughout': {
    reason: '',
    reply: (response) => {
      const body = { Reading: { a: [1] }, ReadingUnits: 4, ReadingTime: true, Oem: 'x', Id: null }
      answer(response, 200, body)
    },
  },
  'a reading as text': {
    reason: '',
    reply: (response) => answer(response, 200, { Reading: 'N/A', ReadingUnits: 'W' }),
  },
}

describe('a resource that gives', () => {
  const broken = '/redfish/v1/Chassis/Node0/Sensors/ChassisVoltageRegulator0InputPower'
  let reply: ((response: ServerResponse) => void) | undefined
  let server: TestDevice
  let exporter: TestExporter

  before(async () => {
    const resources = nodeCard()
    server = await serveDevice((request, response) => {
      const path = request.url ?? ''
      if (path === broken && reply !== undefined) reply(response)
      else answer(response, path in resources ? 200 : 404, resources[path] ?? {})
    })
    exporter = await startTestExporter({
      devices: [{ xname: 'x1000c0s0b0', server }],
      poll: { timeoutSeconds: 0.5, perDevice: 2 },
    })
  })

  after(async () => {
    await exporter?.close()
    await server?.close()
  })

  const powers = (samples: readonly Sample[]) =>
    samplesOf(samples, 'cray_node_power_watts').map(({ labels }) => labels['xname'])
  const errors = (samples: readonly Sample[], reason: string) =>
    reason === '' ? 0 : sampleValue(samples, 'cray_device_errors_total', { reason })

  for (const [name, fault] of Object.entries(faults)) {
    it(`${name} costs that resource and nothing else`, async () => {
      reply = undefined
      const whole = await exporter.scrapeUntil((all) => powers(all).length === 2)
      reply = fault.reply
      const without = await exporter.scrapeUntil((all) => powers(all).length === 1)
      const samples = await exporter.scrapeUntil(
        (all) => fault.reason === '' || errors(all, fault.reason) > errors(whole, fault.reason),
      )
      for (const each of [without, samples]) {
        assert.deepEqual(powers(each), ['x1000c0s0b0n1'])
        assert.equal(samplesOf(each, 'cray_node_energy_joules_total').length, 2)
        assert.equal(sampleValue(each, 'cray_device_up', {}), 1)
      }
    })
  }
})

describe('many devices that hang', () => {
  it('keep no other waiting, though they could take all requests that are allowed', async () => {
    const resources = nodeCard()
    const hung = await serveAnyone(() => {})
    const server = await serveDevice((request, response) => {
      const path = request.url ?? ''
      answer(response, path in resources ? 200 : 404, resources[path] ?? {})
    })
    const dead = [0, 1, 2, 3, 4, 5].map((n) => ({ xname: `x1000c0s${n}b0`, server: hung }))
    const exporter = await startTestExporter({
      devices: [...dead, { xname: 'x1000c0s7b0', server }],
      poll: { timeoutSeconds: 600, inFlight: 2 },
    })
    try {
      const node = { xname: 'x1000c0s7b0n1' }
      await exporter.scrapeUntil(
        (all) => samplesOf(all, 'cray_node_power_watts', node).length === 1,
      )
    } finally {
      await exporter.close()
      await Promise.all([hung.close(), server.close()])
    }
  })
})

describe('a device with a broken structure', () => {
  it('has what can be found of it when one list of sensors hangs', async () => {
    const resources = nodeCard()
    const server = await serveDevice((request, response) => {
      const path = request.url ?? ''
      if (path.endsWith('Node0/Sensors')) return
      answer(response, path in resources ? 200 : 404, resources[path] ?? {})
    })
    const devices = [{ xname: 'x1000c0s0b0', server }]
    const exporter = await startTestExporter({ devices, poll: { timeoutSeconds: 0.3 } })
    try {
      const samples = await exporter.scrapeUntil(
        (all) => samplesOf(all, 'cray_node_power_watts').length > 0,
      )
      const [power] = samplesOf(samples, 'cray_node_power_watts')
      assert.equal(power?.labels['xname'], 'x1000c0s0b0n1')
    } finally {
      await exporter.close()
      await server.close()
    }
  })

  it('of wrong types is shown as down, without a sample of its own', async () => {
    const server = await serveDevice((_request, response) => {
      answer(response, 200, { Members: { '@odata.id': 3 }, 'Members@odata.nextLink': [] })
    })
    const devices = [{ xname: 'x1000c0s0b0', server }]
    const exporter = await startTestExporter({ devices })
    try {
      const up = (all: readonly Sample[]) => samplesOf(all, 'cray_device_up')[0]?.value
      const samples = await exporter.scrapeUntil((all) => up(all) === 0)
      const names = samples.map(({ name }) => name).filter((name) => name.startsWith('cray_'))
      assert.deepEqual(
        names.filter((name) => !name.startsWith('cray_device_')),
        [],
      )
    } finally {
      await exporter.close()
      await server.close()
    }
  })

  it('whose certificate has expired is down, and gets no password', async () => {
    const expiresAt = new Date(Date.now() - 86_400_000)
    const server = await serveTls(() => ({ status: 200, body: {} }), { expiresAt })
    const exporter = await startTestExporter({ devices: [{ xname: 'x1000c0s0b0', server }] })
    try {
      const expiry = 'cray_device_certificate_expiry_timestamp_seconds'
      const samples = await exporter.scrapeUntil((all) => samplesOf(all, expiry).length === 1)
      const down = await exporter.scrapeUntil((all) => samplesOf(all, 'cray_device_up').length > 0)
      assert.equal(sampleValue(down, 'cray_device_up', {}), 0)
      assert.ok(sampleValue(samples, expiry, {}) * 1000 < Date.now())
      assert.deepEqual(server.seen, [])
    } finally {
      await exporter.close()
      await server.close()
    }
  })
})

/** Without ever holding more than a piece of them. */
function sendZeros(response: ServerResponse, bytes: number): void {
  const piece = Buffer.alloc(2 ** 16, ' ')
  let left = bytes
  const send = () => {
    while (left > 0 && !response.destroyed) {
      left -= piece.length
      if (!response.write(piece)) return
    }
    response.end()
  }
  response.writeHead(200, { 'content-type': 'application/json' })
  response.on('drain', send)
  send()
}

/** Two nodes, each with power and energy. */
function nodeCard(): Record<string, unknown> {
  const chassis = '/redfish/v1/Chassis'
  const found: Record<string, unknown> = {
    [chassis]: { Members: ['Enclosure', 'Node0', 'Node1'].map((n) => link(`${chassis}/${n}`)) },
    [`${chassis}/Enclosure`]: {},
    '/redfish/v1/Systems': { Members: [] },
    '/redfish/v1/Managers': { Members: [] },
  }
  for (const n of [0, 1]) {
    const sensors = `${chassis}/Node${n}/Sensors`
    Object.assign(found, {
      [`${chassis}/Node${n}`]: { Sensors: link(sensors) },
      ...collectionOf(sensors, {
        ChassisVoltageRegulator0InputPower: { Reading: 400 + n, ReadingUnits: 'W' },
        ChassisVoltageRegulator0InputEnergy: { Reading: 1000, ReadingUnits: 'J' },
      }),
    })
  }
  return found
}
