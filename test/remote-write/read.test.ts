import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Service } from '../../exporter/service/http.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { type Matcher, postRead, read } from '../support/remote-read.ts'
import { startRecord, type WrittenSeries, write } from '../support/remote-write.ts'

const now = Date.now()
const whole: [number, number] = [now - 86_400_000, now + 600_000]

function series(metric: string, labels: Record<string, string>): WrittenSeries {
  return { labels: { __name__: metric, job: 'exporter', ...labels }, samples: [[now, 1]] }
}

describe('POST /api/v1/read', () => {
  let service: Service

  before(async () => {
    service = await startRecord((await cloneDatabase()).url, { readSamples: 2000 })
    const written = [
      series('watts', { xname: 'x1000c0s1b0n0' }),
      series('watts', { xname: 'x1000c0s10b0n0' }),
      series('watts', { xname: 'X1000C0S2b0n0', 'odd.label': 'a|b' }),
      series('joules', { xname: 'x1000c0s1b0n0' }),
      series('up', {}),
    ]
    assert.equal((await write(service, written)).status, 204)
  })

  after(() => service.close())

  const found: [says: string, matchers: Matcher[], names: string[]][] = [
    ['=', [['__name__', '=', 'joules']], ['joules x1000c0s1b0n0']],
    [
      '= of a label',
      [['xname', '=', 'x1000c0s1b0n0']],
      ['joules x1000c0s1b0n0', 'watts x1000c0s1b0n0'],
    ],
    [
      '!=',
      [
        ['__name__', '!=', 'up'],
        ['xname', '!=', 'x1000c0s1b0n0'],
      ],
      ['watts X1000C0S2b0n0', 'watts x1000c0s10b0n0'],
    ],
    ['=~, anchored at both ends', [['xname', '=~', 'x1000c0s1']], []],
    [
      '=~ with a wildcard',
      [['xname', '=~', 'x1000c0s1.+']],
      ['joules x1000c0s1b0n0', 'watts x1000c0s10b0n0', 'watts x1000c0s1b0n0'],
    ],
    ['=~ with alternatives', [['__name__', '=~', 'up|joules']], ['joules x1000c0s1b0n0', 'up -']],
    ['=~ with flags', [['xname', '=~', '(?i)x1000c0s2B0N0']], ['watts X1000C0S2b0n0']],
    ['=~ with a quoted character', [['odd.label', '=~', 'a\\|b']], ['watts X1000C0S2b0n0']],
    ['=~ with a word boundary', [['odd.label', '=~', '.\\b.\\b.']], ['watts X1000C0S2b0n0']],
    ['!~', [['__name__', '!~', 'w.*|joules']], ['up -']],
    ['= "": the label is absent', [['xname', '=', '']], ['up -']],
    ['!= "": the label is there', [['odd.label', '!=', '']], ['watts X1000C0S2b0n0']],
    [
      '=~ that matches the empty text',
      [['xname', '=~', '.*2.*|']],
      ['up -', 'watts X1000C0S2b0n0'],
    ],
  ]
  for (const [says, matchers, names] of found) {
    it(`finds series by ${says}`, async () => {
      const answer = await read(service, matchers, whole)
      const shown = answer.map(({ labels }) => `${labels['__name__']} ${labels['xname'] ?? '-'}`)
      assert.deepEqual(shown, names)
    })
  }

  it('orders series by labels and samples by time, both ends of the range included', async () => {
    const labels = { __name__: 'ordered', job: 'exporter' }
    const times = [now - 3000, now - 1000, now - 4000, now - 2000]
    await write(service, [
      { labels: { ...labels, b: '1' }, samples: times.map((time) => [time, 1]) },
      { labels: { ...labels, a: '1' }, samples: [[now - 3000, 1]] },
    ])
    const answer = await read(service, [['__name__', '=', 'ordered']], [now - 3000, now - 1000])
    assert.deepEqual(
      answer.map(({ samples }) => samples.map(([time]) => time - now)),
      [[-3000], [-3000, -2000, -1000]],
    )
  })

  it('gives back every value and time as written, whatever its bits', async () => {
    const bits = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((n) => hex(n))
    const time = fc.integer({ min: now - 86_400_000, max: now })
    const samples = fc.uniqueArray(fc.tuple(time, bits), { maxLength: 20, selector: ([t]) => t })
    let run = 0
    await fc.assert(
      fc.asyncProperty(fc.array(samples, { minLength: 1, maxLength: 5 }), async (lists) => {
        const metric = `any_${run++}`
        const written = lists.map((list, i) => ({
          ...series(metric, { i: `${i}` }),
          samples: list,
        }))
        assert.equal((await write(service, written)).status, 204)
        const answer = await read(service, [['__name__', '=', metric]], whole)
        assert.deepEqual(
          answer.map(({ samples }) => samples),
          lists.filter((list) => list.length > 0).map((list) => list.toSorted(byTime)),
        )
      }),
      { numRuns: 40 },
    )
  })

  it('takes the whole of time, as promtool asks for it', async () => {
    const all = [-9_223_372_036_854_775_000, 9_223_372_036_854_775_000] as const
    assert.equal((await read(service, [['__name__', '=', 'up']], all)).length, 1)
  })

  it('refuses more samples than the limit, bad expressions and other response types', async () => {
    const many = Array.from({ length: 2001 }, (_, i): [number, number] => [now - i, i])
    await write(service, [{ labels: { __name__: 'many', job: 'x' }, samples: many }])
    const tooMany = await postRead(service, [['__name__', '=', 'many']], whole)
    assert.equal(tooMany.status, 400)
    assert.match(await tooMany.text(), /more than 2000 samples/)
    const bad = await postRead(service, [['xname', '=~', '(']], whole)
    assert.equal(bad.status, 400)
    assert.equal((await postRead(service, [], whole, [1])).status, 400)
    assert.equal((await postRead(service, [['a', '=', 'b']], whole, [1, 0])).status, 200)
  })
})

function hex(n: bigint): string {
  return n.toString(16).padStart(16, '0')
}

function byTime(a: [number, string], b: [number, string]): number {
  return a[0] - b[0]
}
