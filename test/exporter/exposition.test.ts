import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
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
    const devices = Array.from({ length: 40 }, (_, device) => new Outlets(device))
    const cache = new ExpositionCache(() => devices)
    for (const size of [10, 400, 20]) {
      for (const device of devices) device.set(size, size)
      const wanted = plainly(devices.map((device) => device.readings()))
      assertSameLines(gunzipSync(cache.render(false, '').gzip()).toString(), wanted)
    }
  })

  it('may be what it was, but not for longer than is said', async () => {
    const devices = Array.from({ length: 200 }, (_, device) => new Outlets(device))
    const cache = new ExpositionCache(() => devices)
    const textOf = (mostLateMs?: number) => cache.render(false, '', mostLateMs).plain().toString()
    const before = textOf()
    for (const device of devices) device.set(50, 7)
    assertSameLines(textOf(60_000), before)
    const now = plainly(devices.map((device) => device.readings()))
    await sleep(100)
    assertSameLines(textOf(100), now)
    for (const device of devices) device.set(50, 8)
    while (!cache.freshen(5)) await sleep(1)
    assertSameLines(textOf(), plainly(devices.map((device) => device.readings())))
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

/** A device with so many readings of one metric, that change when it is told. */
class Outlets implements Source {
  readonly #device: number
  #readings: readonly Reading[] = []

  constructor(device: number) {
    this.#device = device
    this.set(10, device)
  }

  set(size: number, value: number): void {
    const bmc = `x${3000 + this.#device}m0`
    this.#readings = Array.from({ length: size }, (_, outlet) => ({
      metric: 'cray_node_power_watts',
      labels: { xname: `${bmc}p0v${outlet}`, bmc },
      value: value + outlet / 8,
    }))
  }

  readings(): readonly Reading[] {
    return this.#readings
  }
}

/** Without the thousands of lines that a plain comparison would print. */
function assertSameLines(text: string, wanted: string): void {
  const [lines, wantedLines] = [text.split('\n'), wanted.split('\n')]
  const first = wantedLines.findIndex((line, i) => line !== lines[i])
  if (first >= 0) assert.equal(lines[first], wantedLines[first], `line ${first + 1}`)
  assert.equal(lines.length, wantedLines.length, 'lines')
}

/** Every line written anew, with nothing kept: what the cache must equal. */
function plainly(devices: readonly (readonly Reading[])[], openMetrics = false): string {
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
