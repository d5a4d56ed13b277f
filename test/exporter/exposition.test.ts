import assert from 'node:assert/strict'
import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { ExpositionCache, type Source } from '../../exporter/exposition-cache.ts'
import { gzipOf, pack } from '../../exporter/gzip-pieces.ts'
import { metrics, type Reading } from '../../exporter/metrics.ts'

/** Some of each type, with few and with many labels. */
const shown = metrics.filter((_, index) => index % 5 === 0)

const reading: fc.Arbitrary<Reading> = fc
  .tuple(
    fc.constantFrom(...shown),
    fc.array(fc.oneof(fc.string({ maxLength: 4 }), fc.constantFrom('A2', 'A10', 'é\n"\\', '')), {
      maxLength: 3,
    }),
    fc.oneof(fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true })),
  )
  .map(([{ name, labels }, values, value]) => ({
    metric: name,
    labels: Object.fromEntries(values.map((text, i) => [labels[i] ?? 'xname', text])),
    value,
  }))

/** The readings of some devices, as of one scrape. */
const state = fc.array(fc.array(reading, { maxLength: 12 }), { maxLength: 5 })

const change = fc.constantFrom('all', 'value', 'more', 'fewer')

/** As a poll gives readings: new objects, mostly of the same series. */
const changes = {
  all: (reading: Reading) => reading,
  value: ({ metric, labels, value }: Reading) => ({
    metric,
    labels: { ...labels },
    value: value / 2,
  }),
  more: (reading: Reading) => ({ ...reading, labels: { ...reading.labels, bmc: 'x1' } }),
  fewer: (reading: Reading) => ({ ...reading, labels: {} }),
}

describe('the text of a scrape', () => {
  it('is what plain rendering gives, in either form, whatever has changed since the last', () => {
    const step = fc.record({ state, change, openMetrics: fc.boolean() })
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 5 }), (steps) => {
        const devices: { current: readonly Reading[] }[] = []
        const sources: Source[] = []
        const cache = new ExpositionCache(() => sources)
        for (const { state, change, openMetrics } of steps) {
          const same = devices.map(({ current }) => current.map(changes[change]))
          const next = change === 'all' ? state : same
          devices.length = Math.min(devices.length, next.length)
          for (const [i, current] of next.entries()) {
            const device = devices[i]
            if (device) device.current = current
            else devices.push({ current })
          }
          sources.length = Math.min(sources.length, devices.length)
          for (const device of devices.slice(sources.length)) {
            sources.push({ readings: () => device.current })
          }
          cache.freshen(Number.POSITIVE_INFINITY)
          const { plain, gzip } = cache.render(openMetrics, '# EOF\n')
          const wanted = `${plainly(next, openMetrics)}# EOF\n`
          assert.equal(plain().toString(), wanted)
          assert.equal(gunzipSync(gzip()).toString(), wanted)
          assert.equal(plain().toString(), wanted)
        }
      }),
    )
  })

  it('has the same in many pieces as in one, also when they grow', () => {
    let size = 10
    const readings = new Map<string, readonly Reading[]>()
    const source = (device: number): Source => ({
      readings: () => {
        const key = `${device} ${size}`
        const known = readings.get(key) ?? outletsOf(device, size)
        readings.set(key, known)
        return known
      },
    })
    const sources = Array.from({ length: 40 }, (_, device) => source(device))
    const cache = new ExpositionCache(() => sources)
    for (size of [10, 400, 20]) {
      const wanted = plainly(
        sources.map((each) => each.readings()),
        false,
      )
      assert.equal(gunzipSync(cache.render(false, '').gzip()).toString(), wanted)
    }
  })
})

describe('pieces packed by themselves', () => {
  it('are one gzip member of all their bytes', () => {
    const pieces = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 })
    fc.assert(
      fc.property(pieces, (all) => {
        const packed = gzipOf(all.map(pack))
        assert.deepEqual(gunzipSync(packed), Buffer.concat(all))
      }),
    )
  })
})

function outletsOf(device: number, number: number): Reading[] {
  return Array.from({ length: number }, (_, outlet) => ({
    metric: 'cray_node_power_watts',
    labels: { xname: `x${3000 + device}m0p0v${outlet}`, bmc: `x${3000 + device}m0` },
    value: device + outlet / 8,
  }))
}

/** Every line written anew, with nothing kept: what the cache must equal. */
function plainly(devices: readonly (readonly Reading[])[], openMetrics: boolean): string {
  const collator = new Intl.Collator('en', { numeric: true })
  let text = ''
  for (const { name, type, help, labels } of metrics) {
    const family = openMetrics && type === 'counter' ? name.slice(0, -'_total'.length) : name
    const lines: string[] = []
    for (const readings of devices) {
      const series = new Map<string, number>()
      for (const reading of readings.filter(({ metric }) => metric === name)) {
        const pairs = labels
          .filter((label) => (reading.labels[label] ?? '') !== '')
          .map((label) => `${label}="${escaped(reading.labels[label] ?? '', true)}"`)
        const key = pairs.length > 0 ? `${name}{${pairs}}` : name
        if (!series.has(key)) series.set(key, reading.value)
      }
      const sorted = [...series].sort(([a], [b]) => collator.compare(a, b))
      lines.push(...sorted.map(([key, value]) => `${key} ${value}\n`))
    }
    const shownType = type === 'stateset' ? 'gauge' : type
    const head = `# HELP ${family} ${escaped(help, openMetrics)}\n# TYPE ${family} ${shownType}\n`
    if (lines.length > 0) text += head + lines.join('')
  }
  return text
}

function escaped(text: string, quotes: boolean): string {
  const safe = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
  return quotes ? safe.replaceAll('"', '\\"') : safe
}
