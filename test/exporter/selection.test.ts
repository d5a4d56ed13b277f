import assert from 'node:assert/strict'
import { answer, serveDevice } from '../support/device.ts'
import { samplesOf, startTestExporter } from '../support/exporter.ts'
import { collectionOf, link, type RedfishTree } from '../support/redfish.ts'

const xname = 'x3000c0s2b1'
const power = '/redfish/v1/Chassis/Self/Power'
const offered = { ProtocolFeaturesSupported: { SelectQuery: true } }

function powerBody(watts: number, voltages: number): Record<string, unknown> {
  return {
    '@odata.id': power,
    Id: 'Power',
    PowerControl: [{ MemberId: '0', Name: 'System Power Control', PowerConsumedWatts: watts }],
    Voltages: Array.from({ length: voltages }, (_, n) => ({
      MemberId: `VoltageSensor${n}`,
      Name: `P_VDD${n}`,
      ReadingVolts: 1 + n / 100,
      UpperThresholdCritical: 2,
    })),
  }
}

type Select = (body: Record<string, unknown>, names: string[]) => unknown

interface Polling {
  root?: object
  voltages?: number
  slowSeconds?: number
  select: Select
}

/** Polls a server whose power grows; what was asked of its `Power`, once that was shown growing. */
async function polled({ root = offered, voltages = 40, slowSeconds = 600, select }: Polling) {
  const tree: RedfishTree = {
    '/redfish/v1': root,
    ...collectionOf('/redfish/v1/Chassis', { Self: { Power: link(power) } }),
  }
  const asked: string[] = []
  let bytes = 0
  const device = await serveDevice((request, response) => {
    const [path = '', query] = (request.url ?? '').replace(/\/+$/, '').split('?$select=')
    if (path !== power) return answer(response, path in tree ? 200 : 404, tree[path] ?? {})
    asked.push(query ?? 'all')
    const whole = powerBody(asked.length, voltages)
    const body = query === undefined ? whole : select(whole, query.split(','))
    bytes += JSON.stringify(body ?? {}).length
    answer(response, body === undefined ? 400 : 200, body ?? {})
  })
  const exporter = await startTestExporter({
    devices: [{ xname, server: device }],
    poll: { slowSeconds, fastSeconds: 0.05 },
  })
  try {
    const all = await exporter.scrapeUntil((samples) => {
      assert.ok(samplesOf(samples, 'cray_server_voltage_volts').length % voltages === 0)
      return (samplesOf(samples, 'cray_server_power_watts')[0]?.value ?? 0) >= 12
    })
    assert.equal(samplesOf(all, 'cray_server_voltage_volts').length, voltages)
    assert.equal(samplesOf(all, 'cray_device_up')[0]?.value, 1)
    return { asked, bytesEach: bytes / asked.length }
  } finally {
    await exporter.close()
    await device.close()
  }
}

const right: Select = (body, names) => ({
  '@odata.id': body['@odata.id'],
  ...Object.fromEntries(names.map((name) => [name, body[name]])),
})

const isPart = (query: string) => query !== 'all'

describe('a Power that is mostly voltages, of a service that can select', () => {
  it('is asked for its power alone, and for all of it at the slow pace', async () => {
    const [whole, part] = [
      await polled({ root: {}, select: right }),
      await polled({ select: right, slowSeconds: 0.3 }),
    ]
    assert.deepEqual([...new Set(whole.asked)], ['all'])
    assert.deepEqual([...new Set(part.asked)].sort(), ['PowerControl', 'all'])
    assert.ok(part.asked.slice(3).includes('all'), part.asked.join(' '))
    assert.ok(part.bytesEach < whole.bytesEach / 2, `${part.bytesEach} of ${whole.bytesEach} bytes`)
  })

  const wrong: Record<string, Select> = {
    'an error': () => undefined,
    'all of it': (body) => body,
    'nothing of it': (body) => ({ '@odata.id': body['@odata.id'] }),
    'an empty list': () => ({ PowerControl: [] }),
    'members without a property': () => ({ PowerControl: [{ MemberId: '0', Name: 'x' }] }),
  }
  for (const [what, select] of Object.entries(wrong)) {
    it(`loses no reading where it gives ${what}, and is asked so once`, async () => {
      const { asked } = await polled({ select })
      assert.equal(asked.filter(isPart).length, 1, asked.join(' '))
    })
  }

  it('is read whole where it has few voltages', async () => {
    const { asked } = await polled({ select: right, voltages: 4 })
    assert.deepEqual(asked.filter(isPart), [])
  })
})
