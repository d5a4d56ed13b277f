import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Snapshots } from '../../exporter/telemetry/snapshots.ts'

/** A sensor takes a sample each second: a counter that rises by its time. */
const step = fc.oneof(
  { weight: 3, arbitrary: fc.constant('poll' as const) },
  { weight: 2, arbitrary: fc.constant('push' as const) },
  { weight: 1, arbitrary: fc.constant('wait' as const) },
)

describe('a series of polled and pushed samples', () => {
  it('has each pushed sample, no time twice, and its true value at each time', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ step, seconds: fc.integer({ min: 1, max: 7 }) })),
        (steps) => {
          const sensor = new Sensor()
          for (const { step, seconds } of steps) {
            sensor.now += seconds
            if (step === 'poll') sensor.poll()
            if (step === 'push') sensor.push()
          }
          const times = sensor.sent.map(({ timeMs }) => timeMs)
          assert.equal(new Set(times).size, times.length)
          for (const { timeMs, value } of sensor.sent) assert.equal(value, timeMs * 10)
          assert.deepEqual(
            [...sensor.pushed].filter((timeMs) => !times.includes(timeMs)),
            [],
          )
        },
      ),
    )
  })
})

class Sensor {
  now = 1_000_000
  readonly sent: { timeMs: number; value: number }[] = []
  readonly pushed = new Set<number>()
  #shownMs = 0
  #toldMs = 1_000_000
  readonly #snapshots = new Snapshots({
    targetLabels: {},
    readings: () => [{ ...reading, value: this.#shownMs * 10 }],
    times: () => new Map([[key, this.#shownMs]]),
    pushedForSeconds: 0.01,
  })

  /** It shows what it took last, and the snapshot comes a bit later. */
  poll(): void {
    this.#shownMs = this.now
    for (const { samples } of this.#snapshots.take(this.now + 3)) this.sent.push(...samples)
  }

  /** All that it took since the last time, of which some has been polled. */
  push(): void {
    const times = Array.from({ length: this.now - this.#toldMs }, (_, i) => this.#toldMs + i + 1)
    this.#toldMs = this.now
    this.#shownMs = this.now
    for (const timeMs of times.slice(-5)) this.pushed.add(timeMs)
    const readings = times
      .slice(-5)
      .map((timeMs) => ({ ...reading, key, timeMs, value: timeMs * 10 }))
    this.sent.push(...this.#snapshots.push(readings, this.now).taken)
  }
}

const reading = { metric: 'cray_node_power_watts' as const, labels: { xname: 'x1000c0s0b0n0' } }
const key = 'cray_node_power_watts{xname="x1000c0s0b0n0"}'
