import fc from 'fast-check'
import { compressSync } from 'snappy'
import { label, lengthField, sample, varint, writeRequest } from './remote-write.ts'
import { histogram, packed, requestV2, type SeriesV2, symbolFields } from './remote-write-v2.ts'

/** A body that no honest sender sends, and the content type it comes under. */
export interface HostileBody {
  version: '1.0' | '2.0'
  body: Buffer
}

/**
 * Bodies of both versions that are broken or meant to break: truncated, with bits turned, with
 * parts cut out, doubled or replaced, with fields in another order, with lengths and numbers beyond
 * all bounds, nested thousands deep, with text that is none, with labels that may not be, and
 * snappy blocks that lie. Some happen to be valid.
 */
export function hostileBodies(nowMs: number): fc.Arbitrary<HostileBody> {
  const protobuf = fc.constantFrom<HostileBody['version']>('1.0', '2.0').chain((version) => {
    const bytes = version === '1.0' ? bodiesV1(nowMs) : bodiesV2(nowMs)
    return bytes.map((uncompressed) => ({ version, body: compressSync(uncompressed) }))
  })
  return fc.oneof(
    { weight: 8, arbitrary: protobuf },
    { weight: 1, arbitrary: protobuf.chain((one) => blocks(one)) },
  )
}

/** Valid requests from which others are made. */
function validV1(nowMs: number): Buffer {
  const series = ['a', 'b', 'c'].map((name, i) => ({
    labels: { __name__: name, instance: 'host:1', job: 'hostile' },
    samples: Array.from({ length: i + 1 }, (_, nth) => [nowMs + nth, nth] as const),
  }))
  const metadata = [varint(8n), varint(1n), lengthField(2, Buffer.from('a'))]
  return Buffer.concat([writeRequest(series), lengthField(3, Buffer.concat(metadata))])
}

function validV2(nowMs: number): Buffer {
  const buckets = { spans: [[-2, 2] as [number, number]], counts: [3, 4] }
  const values = { timeMs: nowMs, schema: 1, sum: 1, positive: buckets, negative: buckets }
  const series = ['a', 'b', 'c'].map((name): SeriesV2 => {
    const labels = { __name__: name, instance: 'host:1', job: 'hostile' }
    const exemplars = [{ labels: { trace_id: 'x' }, value: 1, timeMs: nowMs }]
    const metadata = { type: 3, help: 'Help.', unit: 'seconds' }
    if (name === 'c') return { labels, histograms: [histogram(values)], exemplars, metadata }
    return { labels, samples: [[nowMs, 1]], exemplars, metadata }
  })
  return requestV2(series)
}

function bodiesV1(nowMs: number): fc.Arbitrary<Buffer> {
  const labels = wildLabels().map((list) => list.map((one) => lengthField(1, one)))
  const samples = fc.array(wildSample(nowMs, 2), { maxLength: 4 })
  const series = fc
    .tuple(labels, samples, fc.boolean())
    .map(([names, values, first]) =>
      Buffer.concat(first ? [...names, ...values] : [...values, ...names]),
    )
  const wild = fc.array(
    series.map((one) => lengthField(1, one)),
    { minLength: 1, maxLength: 4 },
  )
  return fc.oneof(
    broken(validV1(nowMs)),
    wild.map((list) => Buffer.concat(list)),
  )
}

function bodiesV2(nowMs: number): fc.Arbitrary<Buffer> {
  const ref = fc.oneof(fc.nat(9), fc.constantFrom(2 ** 31, 2 ** 32, 2 ** 53))
  const refs = fc.array(ref, { maxLength: 8 }).map((list) => lengthField(1, packed(list)))
  const field = fc.oneof(
    refs,
    wildSample(nowMs, 2),
    fc
      .tuple(fc.integer({ min: 1, max: 20 }), shortBytes(20))
      .map(([n, value]) => lengthField(n, value)),
    wildHistogram(nowMs),
  )
  const symbol = fc.oneof(
    shortBytes(6),
    fc.constantFrom('__name__', 'a', 'b').map((text) => Buffer.from(text)),
  )
  const symbols = fc
    .array(symbol, { maxLength: 8 })
    .map((list) => list.map((one) => lengthField(4, one)))
  const series = fc.array(
    fc.array(field, { maxLength: 6 }).map((list) => lengthField(5, Buffer.concat(list))),
    { maxLength: 4 },
  )
  const wild = fc
    .tuple(symbols, series)
    .map(([texts, list]) => Buffer.concat([...symbolFields(['', '__name__']), ...texts, ...list]))
  return fc.oneof(broken(validV2(nowMs)), wild)
}

/** What transport errors and attackers make of a request that was good. */
function broken(valid: Buffer): fc.Arbitrary<Buffer> {
  const at = fc.nat(valid.length - 1)
  const range = fc.tuple(at, fc.nat(40))
  const fields = splitFields(valid)
  return fc.oneof(
    at.map((end) => valid.subarray(0, end)),
    fc
      .array(fc.nat(valid.length * 8 - 1), { minLength: 1, maxLength: 8 })
      .map((bits) => turned(valid, bits)),
    fc
      .tuple(range, at, shortBytes(20))
      .map(([[from, length], to, bytes]) => spliced(valid, { from, length, to, bytes })),
    fc.shuffledSubarray(fields, { minLength: 1 }).map((some) => Buffer.concat(some)),
    fc
      .tuple(at, hugeNumber())
      .map(([from, number]) => spliced(valid, { from, length: 1, to: 0, bytes: number })),
    fc
      .tuple(fc.integer({ min: 1, max: 5 }), fc.nat(3000))
      .map(([number, depth]) => nested(valid, number, depth)),
    shortBytes(300),
  )
}

/** Blocks that claim another length, end early, are damaged, or grow beyond all measure. */
function blocks({ version, body }: HostileBody): fc.Arbitrary<HostileBody> {
  const at = fc.nat(Math.max(0, body.length - 1))
  const made = fc.oneof(
    at.map((end) => body.subarray(0, end)),
    fc
      .array(fc.nat(Math.max(0, body.length * 8 - 1)), { minLength: 1, maxLength: 4 })
      .map((bits) => turned(body, bits)),
    hugeNumber().map((length) => Buffer.concat([length, body])),
    fc.constantFrom(...bombs),
    shortBytes(100),
  )
  return made.map((bytes) => ({ version, body: bytes }))
}

/** Zeros that take a fortieth, or less than that, of the room they ask for. */
const bombs = [
  compressSync(Buffer.alloc(2 ** 20)),
  compressSync(Buffer.alloc(65 * 2 ** 20)),
  // Each copy refers to itself: 64 bytes from 3 (google/snappy, format_description.txt).
  Buffer.concat([
    varint(2n ** 26n),
    Buffer.of(0, 0),
    ...Array.from({ length: 20_000 }, () => Buffer.of(0xfe, 1, 0)),
  ]),
]

function hugeNumber(): fc.Arbitrary<Buffer> {
  const values = [2n ** 21n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n]
  const endless = Buffer.alloc(11, 0x80)
  return fc.oneof(fc.constantFrom(...values).map(varint), fc.constant(endless))
}

function wildLabels(): fc.Arbitrary<Buffer[]> {
  const text = fc.oneof(
    fc.constantFrom('__name__', 'job', 'instance', '', 'a', '__proto__', '\0'),
    fc.string({ unit: 'binary', maxLength: 5 }),
    fc.constantFrom('x'.repeat(1025), 'é'.repeat(4097)),
  )
  const valid = fc.tuple(text, text).map(([name, value]) => label(name, value))
  const one = fc.oneof({ weight: 4, arbitrary: valid }, { weight: 1, arbitrary: shortBytes(12) })
  const few = fc.array(one, { maxLength: 5 })
  const many = fc.constant(Array.from({ length: 70 }, (_, i) => label(`l${i}`, 'x')))
  const named = few.map((list) => [label('__name__', 'm'), ...list])
  return fc.oneof({ weight: 9, arbitrary: fc.oneof(few, named) }, { weight: 1, arbitrary: many })
}

function wildSample(nowMs: number, field: number): fc.Arbitrary<Buffer> {
  const time = fc.oneof(
    fc.constant(nowMs),
    fc.integer({ min: nowMs - 100_000, max: nowMs }),
    fc.integer({ min: -(2 ** 53), max: 2 ** 53 }),
  )
  const bits = fc
    .bigInt({ min: 0n, max: 2n ** 64n - 1n })
    .map((n) => n.toString(16).padStart(16, '0'))
  return fc.tuple(time, bits).map(([timeMs, value]) => lengthField(field, sample(timeMs, value)))
}

function wildHistogram(nowMs: number): fc.Arbitrary<Buffer> {
  const number = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constantFrom(2 ** 30, -(2 ** 30)))
  const spans = fc.array(fc.tuple(number, fc.nat(3)), { maxLength: 3 })
  const counts = fc.array(fc.nat(5), { maxLength: 6 })
  const schema = fc.constantFrom(-53, -5, -4, 0, 8, 9, 127)
  const positive = fc.record({ spans, counts })
  return fc
    .record({ timeMs: fc.constant(nowMs), schema, sum: fc.double(), positive, float: fc.boolean() })
    .map((fields) => lengthField(3, histogram(fields)))
}

function shortBytes(maxLength: number): fc.Arbitrary<Buffer> {
  return fc.uint8Array({ maxLength }).map((array) => Buffer.from(array))
}

function turned(bytes: Buffer, bits: readonly number[]): Buffer {
  const copy = Buffer.from(bytes)
  for (const bit of bits) copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return copy
}

interface Splice {
  /** What is taken out, and stands instead at `to` with `bytes` before it. */
  from: number
  length: number
  to: number
  bytes: Buffer
}

function spliced(valid: Buffer, { from, length, to, bytes }: Splice): Buffer {
  const part = valid.subarray(from, from + length)
  const rest = Buffer.concat([valid.subarray(0, from), bytes, valid.subarray(from + length)])
  return to === 0 ? rest : Buffer.concat([rest.subarray(0, to), part, rest.subarray(to)])
}

/** Each message is all that the one around it has. */
function nested(innermost: Buffer, number: number, depth: number): Buffer {
  let bytes = innermost
  for (let i = 0; i < depth; i++) bytes = lengthField(number, bytes)
  return bytes
}

/** The fields of a request, which are all messages or texts. */
function splitFields(bytes: Buffer): Buffer[] {
  const found: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    let [length, scale, end] = [0, 1, at + 1]
    for (let byte = 0x80; byte >= 0x80; scale *= 128) {
      byte = bytes[end++] ?? 0
      length += (byte & 0x7f) * scale
    }
    found.push(bytes.subarray(at, end + length))
    at = end + length
  }
  return found
}
