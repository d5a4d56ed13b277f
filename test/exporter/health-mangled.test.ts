import assert from 'node:assert/strict'
import fc from 'fast-check'
import { parseSamples } from '../support/exporter.ts'
import { allRecorded, describeMockups } from '../support/mockups.ts'
import { textOf } from '../support/shown.ts'

const places = {
  CMM: 'x1000c0b0',
  EX425: 'x1000c0s1b0',
  DL325: 'x3000c0s1b0',
  Gigabyte: 'x3000c0s2b1',
  'PDU-ServerTech-JAWS': 'x3000m0',
  'PDU-ServerTech-RTS': 'x3000m1',
  'PDU-HPE': 'x3000m2',
}

describeMockups('a recorded device, mangled', () => {
  for (const [kind, xname] of Object.entries(places)) {
    it(`as ${kind} gives no series twice, no odd number and no contradicting state`, async () => {
      const recorded = await allRecorded(kind)
      await fc.assert(
        fc.asyncProperty(fc.array(mangling, { minLength: 1, maxLength: 12 }), async (all) => {
          checkText(await textOf(xname, mangled(recorded, all)))
        }),
        { numRuns: 120 },
      )
    })
  }
})

function checkText(text: string): void {
  const samples = parseSamples(text)
  const series = text.match(/^[^#].*(?= \S+$)/gm) ?? []
  assert.equal(new Set(series).size, series.length, 'a series stands twice')
  const sums = new Map<string, number>()
  for (const { name, labels, value } of samples) {
    assert.ok(Number.isFinite(value), `${name}: ${value}`)
    for (const text of Object.values(labels)) {
      assert.ok(text.length <= 200 && !/\p{Cc}/u.test(text), JSON.stringify(text))
    }
    const { state, ...place } = labels
    if (state === undefined) continue
    const set = JSON.stringify([name, place])
    sums.set(set, (sums.get(set) ?? 0) + value)
  }
  for (const [set, sum] of sums) assert.equal(sum, 1, set)
}

const odd = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    '',
    'Absent',
    'Armed',
    'x'.repeat(5000),
    'half \ud800',
    'half \ud801',
    'a"b\\c\nd\u0000e\u0085f',
    0,
    -1,
    1e308,
    -1e308,
    Number.POSITIVE_INFINITY,
    [],
    [null],
    {},
    { Reading: 1e308, ReadingUnits: 'kWh' },
  ),
  fc.string({ unit: 'binary' }),
  fc.double({ noNaN: true }),
  fc.jsonValue(),
)

const mangling = fc.record({
  how: fc.constantFrom('replace', 'drop', 'twin', 'swap'),
  resource: fc.nat(),
  node: fc.nat(),
  other: fc.nat(),
  odd,
})
type Mangling = typeof mangling extends fc.Arbitrary<infer T> ? T : never

/** The resources with some values changed, left out, repeated, or standing at another path. */
function mangled(
  recorded: ReadonlyMap<string, unknown>,
  all: readonly Mangling[],
): Map<string, unknown> {
  const found = new Map(recorded)
  const paths = [...recorded.keys()]
  for (const mangling of all) {
    const path = at(paths, mangling.resource) ?? ''
    const other = at(paths, mangling.other) ?? ''
    const isSwap = mangling.how === 'swap'
    found.set(path, isSwap ? found.get(other) : changed(found.get(path), mangling))
  }
  return found
}

/**
 * A copy of `body` in which one of its objects or lists has one entry changed or left out; or a
 * list has a member twice, perhaps with one entry changed.
 */
function changed(body: unknown, { how, node, other, odd }: Mangling): unknown {
  const copy = structuredClone(body)
  if (how === 'twin') {
    const lists = holdersIn(copy).flatMap((each): unknown[][] =>
      Array.isArray(each) ? [each] : [],
    )
    const list = at(lists, node)
    list?.push(withOdd(structuredClone(at(list, other)), other, odd))
    return copy
  }
  const holder = at(holdersIn(copy), node)
  if (how === 'drop') delete holder?.[at(Object.keys(holder), other) ?? '']
  else withOdd(holder, other, odd)
  return holder === undefined ? odd : copy
}

function withOdd(holder: unknown, entry: number, odd: unknown): unknown {
  if (!isHolder(holder)) return odd
  const key = at(Object.keys(holder), entry)
  if (key !== undefined) holder[key] = odd
  return holder
}

function at<T>(list: readonly T[], index: number): T | undefined {
  return list[index % Math.max(1, list.length)]
}

function isHolder(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function holdersIn(value: unknown): Record<string, unknown>[] {
  return isHolder(value) ? [value, ...Object.values(value).flatMap(holdersIn)] : []
}
