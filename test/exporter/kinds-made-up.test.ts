import assert from 'node:assert/strict'
import fc from 'fast-check'
import { createRandom } from '../../exporter/simulator/random.ts'
import { parseSamples } from '../support/exporter.ts'
import { madeUpServer } from '../support/made-up-device.ts'
import { measured, readingKey } from '../support/measured.ts'
import { rawReadings } from '../support/raw-readings.ts'
import { expandingRoot, textOf } from '../support/shown.ts'

describe('a server of the standard schemas that no one made', () => {
  const xname = 'x3000c0s1b0'
  const place = (key: string) => key.replace(/^\S+ /, '')

  it('shows each thing exactly once, with its value, read one by one or in lists', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), async (seed) => {
        const { device, truth } = madeUpServer(createRandom(seed).next)
        const raw = rawReadings('made up', xname, truth).map((each) => place(readingKey(each)))
        for (const root of [{}, expandingRoot]) {
          const tree = new Map([...device, ['/redfish/v1', root]])
          const shown = measured(parseSamples(await textOf(xname, tree)), xname).map(place)
          assert.deepEqual(shown.sort(), [...new Set(raw)].sort())
        }
      }),
      { numRuns: 150 },
    )
  })
})
