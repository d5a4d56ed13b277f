import assert from 'node:assert/strict'
import fc from 'fast-check'
import { dewPointCelsius } from '../../exporter/derived/dew-point.ts'
import { serveResources } from '../support/device.ts'
import { type Sample, samplesOf, sampleValue, startTestExporter } from '../support/exporter.ts'
import { collectionOf, link, type RedfishTree } from '../support/redfish.ts'

const efficiency = 'cray_chassis_conversion_efficiency_ratio'
const dewPoint = 'cray_pdu_dew_point_celsius'

describe('the dew point', () => {
  it('is within 0.1 degrees of what Hyland and Wexler give for the air of rooms', () => {
    const air = fc.record({
      celsius: fc.double({ min: 0, max: 60, noNaN: true }),
      ratio: fc.double({ min: 0.05, max: 1, noNaN: true }),
    })
    fc.assert(
      fc.property(air, ({ celsius, ratio }) => {
        const exact = saturatedAt(ratio * vapourPascals(celsius))
        const shown = dewPointCelsius(celsius, ratio) ?? Number.NaN
        assert.ok(Math.abs(shown - exact) < 0.1, `${shown} for ${exact}`)
      }),
    )
  })

  it('is the temperature of saturated air', () => {
    assert.ok(Math.abs((dewPointCelsius(21.5, 1) ?? 0) - 21.5) < 1e-9)
  })

  it('is unknown of dry air, and of what is no humidity or no temperature of air', () => {
    for (const [celsius, ratio] of [
      [20, 0],
      [20, -0.1],
      [20, 1.01],
      [-46, 0.5],
      [61, 0.5],
      [Number.NaN, 0.5],
    ] as const) {
      assert.equal(dewPointCelsius(celsius, ratio), undefined)
    }
  })
})

describe('derived metrics', () => {
  const closing: { close(): Promise<void> }[] = []

  afterEach(async () => {
    await Promise.all(closing.splice(0).map((each) => each.close()))
  })

  async function probed(xname: string, resources: RedfishTree): Promise<Sample[]> {
    const server = await serveResources(resources)
    const exporter = await startTestExporter({ devices: [{ xname, server }] })
    closing.push(exporter, server)
    return await exporter.scrape(`/probe?target=${xname}`)
  }

  it('tell the dew point of a probe that has both, and of no other', async () => {
    const samples = await probed('x3000m0', {
      '/jaws/monitor/units': [{ id: 'A' }],
      '/jaws/monitor/outlets': [],
      '/jaws/monitor/phases': [],
      '/jaws/monitor/sensors/temp': [
        { id: 'A1', name: 'front', status: 'Normal', temperature_celsius: 25 },
        { id: 'A2', name: 'rear', status: 'Normal', temperature_celsius: 30 },
      ],
      '/jaws/monitor/sensors/humidity': [
        { id: 'A1', name: 'front', status: 'Normal', relative_humidity: 50 },
        { id: 'A2', name: 'rear', status: 'Not Found' },
      ],
    })
    const [found, ...others] = samplesOf(samples, dewPoint)
    assert.deepEqual(others, [])
    assert.deepEqual(found?.labels, {
      xname: 'x3000m0p0',
      bmc: 'x3000m0',
      source: 'jaws',
      probe: 'A1',
    })
    assert.ok(Math.abs((found?.value ?? 0) - 13.9) < 0.1, `${found?.value}`)
  })

  it('tell the efficiency of a chassis only when each rectifier has both powers', async () => {
    const all = await probed('x1000c0b0', chassis({ input: [2000, 3000], output: [1900, 2850] }))
    assert.equal(sampleValue(all, efficiency, { xname: 'x1000c0', bmc: 'x1000c0b0' }), 0.95)
    for (const missing of [
      { input: [2000, 3000], output: [1900, undefined] },
      { input: [undefined, 3000], output: [1900, 2850] },
      { input: [0, 0], output: [0, 0] },
    ]) {
      assert.deepEqual(samplesOf(await probed('x1000c0b0', chassis(missing)), efficiency), [])
    }
  })
})

/** A CMM with the powers of its rectifiers, in watts. */
function chassis(watts: Record<'input' | 'output', (number | undefined)[]>): RedfishTree {
  const sensors = '/redfish/v1/Chassis/Enclosure/Sensors'
  const power = (side: string, values: (number | undefined)[]) =>
    values.map((Reading, index) => [
      `Rectifier${index}${side}Power`,
      { Reading, ReadingUnits: 'W' },
    ])
  return {
    ...collectionOf('/redfish/v1/Chassis', { Enclosure: { Sensors: link(sensors) } }),
    ...collectionOf(
      sensors,
      Object.fromEntries([...power('Input', watts.input), ...power('Output', watts.output)]),
    ),
  }
}

/**
 * Saturation vapour pressure over water, Hyland and Wexler (1983), as in the ASHRAE Handbook of
 * Fundamentals: 0 to 200 degrees, and here extrapolated below.
 */
function vapourPascals(celsius: number): number {
  const kelvin = celsius + 273.15
  return Math.exp(
    -5800.2206 / kelvin +
      1.3914993 -
      0.048640239 * kelvin +
      4.1764768e-5 * kelvin ** 2 -
      1.4452093e-8 * kelvin ** 3 +
      6.5459673 * Math.log(kelvin),
  )
}

/** The temperature at which `pascals` is the saturation pressure, by halving. */
function saturatedAt(pascals: number): number {
  let [low, high] = [-100, 100]
  while (high - low > 1e-9) {
    const middle = (low + high) / 2
    if (vapourPascals(middle) < pascals) low = middle
    else high = middle
  }
  return (low + high) / 2
}
