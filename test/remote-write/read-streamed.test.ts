import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Service } from '../../exporter/service/http.ts'
import { compactDue } from '../../remote-write/segments/compact.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import {
  type Matcher,
  postQueries,
  postRead,
  type Query,
  type ReadSeries,
  readQueries,
} from '../support/remote-read.ts'
import { startRecord, type WrittenSeries, write } from '../support/remote-write.ts'
import { readStreamed, type StreamedFrame } from '../support/streamed-read.ts'

const now = Date.now()
const whole: [number, number] = [now - 86_400_000, now + 600_000]
const [samplesType, streamedType] = [0, 1]

describe('a streamed answer to POST /api/v1/read', () => {
  let database: TestDatabase
  let service: Service

  before(async () => {
    database = await cloneDatabase()
    service = await startRecord(database.url)
  })

  after(() => service.close())

  async function streamed(queries: readonly Query[]): Promise<StreamedFrame[]> {
    return await readStreamed(await postQueries(service, queries, [streamedType, samplesType]))
  }

  /** Writes as a sender does: once more where a partition was dropped meanwhile. */
  async function store(series: readonly WrittenSeries[]): Promise<void> {
    const first = await write(service, series)
    const { status, text } = first.status === 503 ? await write(service, series) : first
    assert.equal(status, 204, text)
  }

  /** All of a metric, by both types of answer, which must say the same. */
  async function readBoth(name: string, range = whole): Promise<ReadSeries[]> {
    const query: Query = { matchers: [['__name__', '=', name]], range }
    const [[plain = []], frames] = await Promise.all([
      readQueries(service, [query]),
      streamed([query]),
    ])
    assert.deepEqual(joined(frames), plain)
    return plain
  }

  /** Moves all samples there are into segments. */
  async function compact(): Promise<void> {
    const compacted = await compactDue(database.pool, { delaySeconds: -5 * 3600 })
    assert.deepEqual(compacted?.failures, [])
    const { rows } = await database.pool.query('select count(*)::int4 as n from frames')
    assert.deepEqual(rows, [{ n: 0 }])
  }

  it('has the samples of the other type, from frames, from segments and from both', async () => {
    const bits = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(hex)
    const value = fc.oneof(bits, fc.constantFrom(stale, '7ff8000000000001'), fc.integer())
    const time = fc.integer({ min: now - 86_400_000, max: now })
    const samples = fc.uniqueArray(fc.tuple(time, value), { maxLength: 400, selector: ([t]) => t })
    let run = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(samples, { minLength: 1, maxLength: 3 }),
        samples,
        async (some, late) => {
          const name = `any_${run++}`
          const labels = some.map((_, i) => ({ __name__: name, job: 'x', i: `${i}` }))
          const written = some.map((list, i) => ({ labels: labels[i] ?? {}, samples: list }))
          await store(written)
          const before = await readBoth(name)
          await compact()
          assert.deepEqual(await readBoth(name), before)
          const known = new Set(some[0]?.map(([timeMs]) => timeMs))
          const added = late.filter(([timeMs]) => !known.has(timeMs))
          await store([{ labels: labels[0] ?? {}, samples: [...late] }])
          const after = await readBoth(name)
          const count = (list: readonly ReadSeries[]) => list.flatMap((one) => one.samples).length
          assert.equal(count(after), count(before) + added.length)
        },
      ),
      { numRuns: 15 },
    )
  })

  it('comes as frames with a checksum, of one series each, in chunks of at most 120', async () => {
    const samples = Array.from({ length: 500 }, (_, i): [number, number] => [now - i * 1000, i])
    await store([metric('chunked', { a: '1' }, samples), metric('chunked', {}, samples)])
    const response = await postRead(service, [['__name__', '=', 'chunked']], whole, [streamedType])
    const type = 'application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse'
    assert.equal(response.headers.get('content-type'), type)
    assert.equal(response.headers.get('content-encoding'), null)
    const frames = await readStreamed(response)
    assert.equal(frames.length, 2)
    for (const { chunks } of frames) {
      const sizes = chunks.map((chunk) => chunk.samples.length)
      assert.deepEqual(sizes, [120, 120, 120, 120, 20])
      for (const { fromMs, toMs, samples: inside } of chunks) {
        assert.deepEqual([fromMs, toMs], [inside[0]?.[0], inside.at(-1)?.[0]])
      }
    }
  })

  it('cuts a long series into frames of at most 1 MiB', async () => {
    const random = (i: number) => hex((BigInt(i + 1) * 0x9e3779b97f4a7c15n) & (2n ** 64n - 1n))
    const samples = Array.from(
      { length: 150_000 },
      (_, i) => [now - 150_000 + i, random(i)] as const,
    )
    for (let from = 0; from < samples.length; from += 50_000) {
      const part = {
        labels: { __name__: 'long', job: 'x' },
        samples: samples.slice(from, from + 50_000),
      }
      await store([part])
    }
    const frames = await streamed([{ matchers: [['__name__', '=', 'long']], range: whole }])
    assert.ok(frames.length >= 2, `${frames.length} frames`)
    assert.ok(Math.max(...frames.map(({ bytes }) => bytes)) <= 1024 * 1024)
    assert.deepEqual(joined(frames)[0]?.samples, samples)
  })

  it('has the series of each query in the order of their labels as UTF-8', async () => {
    const values = ['a', 'b', 'ä', '\uff5e', '\u{1f600}', 'a\u0001', 'aa', 'Z']
    const written = values.map((value) => metric('ordered', { value }, [[now, 1]]))
    await store([...written, metric('ordered', { a: '', later: '1' }, [[now, 1]])])
    const byBytes = values.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    const all: Matcher[] = [['__name__', '=', 'ordered']]
    const frames = await streamed([
      { matchers: [...all, ['value', '!=', '']], range: whole },
      { matchers: [['__name__', '=', 'nothing']], range: whole },
      { matchers: [...all, ['value', '=', 'Z']], range: whole },
    ])
    const found = frames.map(({ queryIndex, labels }) => [queryIndex, labels['value']])
    assert.deepEqual(found, [...byBytes.map((value) => [0, value]), [2, 'Z']])
  })

  it('is of the first type that the client names and we know', async () => {
    const query: Query = { matchers: [['__name__', '=', 'ordered']], range: whole }
    const typeOf = async (types: number[]) => {
      const response = await postQueries(service, [query], types)
      return response.headers.get('content-type')?.split(';')[0]
    }
    assert.equal(await typeOf([]), 'application/x-protobuf')
    assert.equal(await typeOf([0, 1]), 'application/x-protobuf')
    assert.equal(await typeOf([1, 0]), 'application/x-streamed-protobuf')
    assert.equal(await typeOf([7, 1, 0]), 'application/x-streamed-protobuf')
    assert.equal((await postQueries(service, [query], [7])).status, 400)
  })

  it('names series that have a sample in the range, when only they are asked for', async () => {
    const [early, late] = [now - 8000, now - 2000]
    await store([
      metric('named', { at: 'both' }, [
        [early, 1],
        [late, 1],
      ]),
      metric('named', { at: 'early' }, [[early, 1]]),
    ])
    const expected: [range: [number, number], at: string[]][] = [
      [
        [early, late],
        ['both', 'early'],
      ],
      [[late, late], ['both']],
      [[early + 1, late - 1], []],
    ]
    for (const place of ['frames', 'segments']) {
      if (place === 'segments') await compact()
      for (const [range, at] of expected) {
        const matchers: Matcher[] = [['__name__', '=', 'named']]
        const query: Query = { matchers, range, hints: { func: 'series' } }
        const [found] = await readQueries(service, [query])
        assert.deepEqual(
          found?.map(({ labels }) => labels['at']),
          at,
          place,
        )
        assert.ok(found?.every(({ samples }) => samples.length === 0))
        const frames = await streamed([query])
        assert.deepEqual(
          frames.map(({ labels, chunks }) => [labels['at'], chunks.length]),
          at.map((one) => [one, 0]),
        )
      }
    }
  })

  it('holds to the range of the hints, which is that of one selector', async () => {
    await store([
      metric('hinted', {}, [
        [now - 3000, 1],
        [now - 2000, 2],
        [now - 1000, 3],
      ]),
    ])
    const query: Query = { matchers: [['__name__', '=', 'hinted']], range: whole }
    const hinted = { ...query, hints: { func: 'rate', startMs: now - 2000, endMs: now - 1500 } }
    const times = joined(await streamed([hinted]))[0]?.samples.map(([timeMs]) => timeMs - now)
    assert.deepEqual(times, [-2000])
    const bare = { ...query, hints: { func: 'rate' } }
    assert.equal(joined(await streamed([bare]))[0]?.samples.length, 3)
  })
})

function metric(
  name: string,
  labels: Record<string, string>,
  samples: WrittenSeries['samples'],
): WrittenSeries {
  const given = Object.entries(labels).filter(([, value]) => value !== '')
  return { labels: { __name__: name, job: 'x', ...Object.fromEntries(given) }, samples }
}

/** Series as the other type of answer has them. */
function joined(frames: readonly StreamedFrame[]): ReadSeries[] {
  const series: ReadSeries[] = []
  for (const { labels, chunks } of frames) {
    const last = series.at(-1)
    const goesOn = last && JSON.stringify(last.labels) === JSON.stringify(labels)
    const one = goesOn ? last : { labels, samples: [], histograms: [] }
    if (!goesOn) series.push(one)
    for (const { samples } of chunks) one.samples.push(...samples)
  }
  return series
}

const stale = '7ff0000000000002'

function hex(n: bigint): string {
  return n.toString(16).padStart(16, '0')
}
