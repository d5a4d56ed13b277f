import assert from 'node:assert/strict'
import { answer, serveDevice, type TestDevice } from '../support/device.ts'
import { samplesOf, startTestExporter } from '../support/exporter.ts'
import { collectionOf, link, type RedfishTree } from '../support/redfish.ts'
import { expanded, expandingRoot } from '../support/shown.ts'

const xname = 'x3000c0s1b0'
const chassis = '/redfish/v1/Chassis'
const list = `${chassis}/board/Sensors`
const count = 40

function treeOf(name = 'board'): RedfishTree {
  const sensors = Array.from({ length: count }, (_, n): [string, object] => [
    `Power${n}`,
    { Id: `Power${n}`, Name: `rail ${n}`, Reading: 100 + n, ReadingType: 'Power', Thresholds: {} },
  ])
  const path = `${chassis}/${name}`
  return {
    '/redfish/v1': expandingRoot,
    ...collectionOf(chassis, { [name]: { Sensors: link(`${path}/Sensors`) } }),
    ...collectionOf(`${path}/Sensors`, Object.fromEntries(sensors)),
  }
}

type Answer = { status?: number; body: unknown }

/** Polls a device that answers to `$expand` like that; its requests of the last polls. */
async function polled(tree: RedfishTree, expand: (body: unknown) => Answer) {
  const resources = new Map(Object.entries(tree))
  const device: TestDevice = await serveDevice((request, response) => {
    const path = (request.url ?? '').replace(/\/+$/, '')
    const whole = expanded(path, resources)
    const found = whole === undefined ? { body: resources.get(path) } : expand(whole)
    const { status = found.body === undefined ? 404 : 200, body = {} } = found
    answer(response, status, body)
  })
  const exporter = await startTestExporter({
    devices: [{ xname, server: device }],
    poll: { slowSeconds: 600 },
  })
  try {
    const watts = (all: Parameters<typeof samplesOf>[0]) =>
      samplesOf(all, 'cray_sensor_power_watts', { xname: `${xname}n0` })
    const all = await exporter.scrapeUntil((samples) => watts(samples).length === count)
    assert.deepEqual(
      watts(all)
        .map(({ value }) => value)
        .sort(),
      Array.from({ length: count }, (_, n) => 100 + n),
    )
    const asked = device.requests.length
    const polls = 3 * count
    await exporter.scrapeUntil((samples) => {
      const perReading = samplesOf(samples, 'cray_device_requests_per_reading')[0]?.value ?? 0
      const isOften = device.requests.length - asked >= (perReading < 0.5 ? 3 : polls)
      return watts(samples).length === count && isOften
    })
    const perReading = samplesOf(await exporter.scrape(), 'cray_device_requests_per_reading')
    const expansions = device.requests.filter((each) => each.includes('/Sensors?$expand'))
    return { perReading: perReading[0]?.value ?? Number.NaN, expansions }
  } finally {
    await exporter.close()
    await device.close()
  }
}

describe('a list of a service that can give it with its members', () => {
  it('is read in one request, bar one that compares a member', async () => {
    const { perReading, expansions } = await polled(treeOf(), (body) => ({ body }))
    assert.ok(perReading < 0.1, `${perReading} requests per reading`)
    assert.equal(expansions[0], `GET ${list}?$expand=.($levels=1)`)
  })

  const wrong: Record<string, (body: unknown) => Answer> = {
    'an error': () => ({ status: 500, body: {} }),
    'no access': () => ({ status: 403, body: {} }),
    'links alone': () => ({ body: treeOf()[list] }),
    'members without a property': (body) => ({
      body: JSON.parse(JSON.stringify(body).replaceAll('"Reading":', '"Was":')),
    }),
    megabytes: (body) => ({ body: { ...Object(body), more: 'x'.repeat(3_000_000) } }),
    'another list': () => ({ body: { Members: [{ '@odata.id': '/else', Reading: 1 }] } }),
  }
  for (const [what, expand] of Object.entries(wrong)) {
    it(`is read one by one for good after it gave ${what}`, async () => {
      const { perReading, expansions } = await polled(treeOf(), expand)
      assert.ok(perReading >= 0.9, `${perReading} requests per reading`)
      assert.equal(expansions.length, 1)
    })
  }

  it('is asked one by one where the service does not say so, and of a Gigabyte', async () => {
    const { '/redfish/v1': _, ...silent } = treeOf()
    for (const tree of [silent, treeOf('Self')]) {
      const { expansions } = await polled(tree, (body) => ({ body }))
      assert.deepEqual(expansions, [])
    }
  })
})
