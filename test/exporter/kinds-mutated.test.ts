import assert from 'node:assert/strict'
import fc from 'fast-check'
import { parseSamples } from '../support/exporter.ts'
import { measured, readingKey } from '../support/measured.ts'
import { allRecorded, describeMockups, recordedPlaces } from '../support/mockups.ts'
import { mutations, type Twin, withoutField } from '../support/mutations.ts'
import { rawReadings } from '../support/raw-readings.ts'
import { textOf } from '../support/shown.ts'

describeMockups('a recorded device as another maker might have made it', () => {
  for (const [kind, xname] of Object.entries(recordedPlaces)) {
    it(`shows each reading of ${kind} exactly once, with its value`, async () => {
      // A copy of a sensor, which would stand in for it.
      const recorded = withoutField(await allRecorded(kind), 'AccumulatedEnergyJoules')
      for (const name of Object.keys(mutations))
        await checkShown(kind, recorded, [{ name, pick: 1 }])
      await fc.assert(
        fc.asyncProperty(fc.array(mutation, { minLength: 2, maxLength: 5 }), async (all) => {
          await checkShown(kind, recorded, all)
        }),
        { numRuns: 12 },
      )
    })

    async function checkShown(
      kind: string,
      recorded: ReadonlyMap<string, unknown>,
      all: readonly { name: string; pick: number }[],
    ) {
      let twin: Twin = { device: new Map(recorded), truth: new Map(recorded), placed: true }
      const sorted = [...all].sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name))
      for (const { name, pick } of sorted) twin = mutations[name]?.(twin, pick) ?? twin
      const { device, truth, placed } = twin
      const place = (key: string) => (placed ? key : key.replace(/^\S+ /, ''))
      const wanted = rawReadings(kind, xname, truth).map((raw) => place(readingKey(raw)))
      const shown = measured(parseSamples(await textOf(xname, device)), xname).map(place)
      const names = all.map(({ name }) => name).join(', ')
      assert.deepEqual(shown.sort(), wanted.sort(), `${kind}: ${names}`)
    }
  }
})

const order = Object.keys(mutations)
const mutation = fc.record({
  name: fc.constantFrom(...order),
  pick: fc.nat({ max: 1000 }),
})
