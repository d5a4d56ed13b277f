import assert from 'node:assert/strict'
import { answer, serveDevice } from '../support/device.ts'
import { samplesOf, startTestExporter } from '../support/exporter.ts'
import { describeMockups, serveMockup } from '../support/mockups.ts'
import { collectionOf, link, type RedfishTree } from '../support/redfish.ts'
import { expanded, expandingRoot } from '../support/shown.ts'

const xname = 'x3000c0s1b0'
const system = '/redfish/v1/Systems/1'

/** A server with ten processors, of which each measures itself, and memory that does not. */
function serverTree(): RedfishTree {
  const ids = (count: number, name: string) =>
    Array.from({ length: count }, (_, n) => `${name}${n}`)
  const processors = ids(10, 'GPU').map((id): [string, object] => [
    id,
    { Id: id, EnvironmentMetrics: link(`${system}/Processors/${id}/EnvironmentMetrics`) },
  ])
  const metrics = ids(10, 'GPU').map((id, n): [string, object] => [
    `${system}/Processors/${id}/EnvironmentMetrics`,
    { Id: 'EnvironmentMetrics', PowerWatts: { Reading: 300 + n } },
  ])
  const memory = ids(32, 'DIMM').map((id): [string, object] => [id, { Id: id, CapacityMiB: 1 }])
  return {
    ...collectionOf('/redfish/v1/Chassis', { board: { Id: 'board' } }),
    ...collectionOf('/redfish/v1/Systems', {
      1: { Processors: link(`${system}/Processors`), Memory: link(`${system}/Memory`) },
    }),
    ...collectionOf(`${system}/Processors`, Object.fromEntries(processors)),
    ...Object.fromEntries(metrics),
    ...collectionOf(`${system}/Memory`, Object.fromEntries(memory)),
  }
}

type Expand = (body: unknown) => unknown

/** What looks at such a server cost, the first and the later ones; all readings must be there. */
async function looked(expand: Expand | undefined) {
  const tree = serverTree()
  const resources = new Map<string, unknown>(Object.entries(tree))
  if (expand) resources.set('/redfish/v1', expandingRoot)
  const device = await serveDevice((request, response) => {
    const path = (request.url ?? '').replace(/\/+$/, '')
    const whole = expanded(path, resources)
    const body = whole === undefined ? resources.get(path) : expand?.(whole)
    answer(response, body === undefined ? 404 : 200, body ?? {})
  })
  const exporter = await startTestExporter({
    devices: [{ xname, server: device }],
    poll: { slowSeconds: 600, structureSeconds: 0.1 },
  })
  try {
    const all = await exporter.scrapeUntil((samples) => {
      const rounds = samplesOf(samples, 'cray_device_round_requests', { round: 'structure' })
      return rounds.length === 1
    })
    const watts = samplesOf(all, 'cray_processor_power_watts').map(({ value }) => value)
    assert.deepEqual(
      watts.sort(),
      Array.from({ length: 10 }, (_, n) => 300 + n),
    )
    const [later] = samplesOf(all, 'cray_device_round_requests', { round: 'structure' })
    const asked = (what: string) => device.requests.filter((each) => each.includes(what)).length
    return { later: later?.value ?? Number.NaN, asked }
  } finally {
    await exporter.close()
    await device.close()
  }
}

describe('a look at what a server has', () => {
  it('takes less than half the requests where lists can come with their members', async () => {
    const [plain, quick] = [await looked(undefined), await looked((body) => body)]
    const both = `${quick.later} against ${plain.later} requests`
    assert.ok(plain.later > 20 && quick.later * 2 < plain.later, both)
  })

  const wrong: Record<string, Expand> = {
    'an error': () => undefined,
    'links alone': (body) => ({ Members: linksOf(body) }),
    'members without links': (body) =>
      JSON.parse(JSON.stringify(body).replaceAll('"@odata.id":"/redfish', '"id":"/redfish')),
    'members without a property': (body) =>
      JSON.parse(JSON.stringify(body).replaceAll('"EnvironmentMetrics":', '"Was":')),
    'the first page': (body) => ({ ...Object(body), 'Members@odata.nextLink': '/redfish/v1/more' }),
  }
  for (const [what, expand] of Object.entries(wrong)) {
    it(`finds all the same, with few requests more, where a list gives ${what}`, async () => {
      const { later, asked } = await looked(expand)
      assert.ok(later <= 23 + 1, `${later} requests`)
      assert.ok(asked('Processors?') <= 1)
    })
  }
})

function linksOf(body: unknown): object[] {
  const { Members } = Object(body)
  return Members.map((member: object) => ({ '@odata.id': Object(member)['@odata.id'] }))
}

describeMockups('a look at a recorded device', () => {
  it('asks for nothing twice', async () => {
    for (const [kind, place] of [
      ['EX235a', 'x1000c0s0b0'],
      ['DL325', 'x3000c0s1b0'],
    ] as const) {
      const device = await serveMockup(kind)
      const poll = { slowSeconds: 600, stateSeconds: 600, fastSeconds: 600 }
      const exporter = await startTestExporter({
        devices: [{ xname: place, server: device }],
        poll,
      })
      await exporter.scrapeUntil((all) => samplesOf(all, 'cray_device_up')[0]?.value === 1)
      await exporter.close()
      await device.close()
      const lists = device.requests.filter((each) => /\/(Chassis|Systems)\/?$/.test(each))
      assert.equal(new Set(lists).size, lists.length, lists.join(' '))
    }
  })
})
