import { familyHead, numberText, seriesText, sortedSeries } from './exposition.ts'
import { gzipOf, type Packed, pack, unpack } from './gzip-pieces.ts'
import { type MetricName, metrics, type Reading } from './metrics.ts'

/** What has readings: a device. */
export interface Source {
  /** The same array until something changes. */
  readings(): readonly Reading[]
}

/** A scrape's body, ready to be sent. */
export interface Rendered {
  plain(): Buffer
  gzip(): Buffer
}

/**
 * The text of all sources, of which only what has changed is rendered again. A source's series are
 * written, sorted and checked for doubles once, for as long as it gives the same ones in the same
 * order; at a poll only values change. Of each metric, some sources at a time make a piece, which
 * is packed again when a value in it has changed.
 */
export class ExpositionCache {
  readonly #given: () => readonly Source[]
  #sources: readonly Source[] = []
  #texts: readonly SourceText[] = []
  readonly #pieces = new Map<MetricName, Pieces>()
  /** The source that `freshen` goes on with. */
  #next = 0
  #timer: NodeJS.Timeout | undefined
  #askedAt = Number.NEGATIVE_INFINITY

  constructor(sources: () => readonly Source[]) {
    this.#given = sources
  }

  /**
   * As `exposition` in `exposition.ts`, followed by `tail`: Prometheus text 0.0.4 or OpenMetrics
   * 1.0, metrics in the order of the table, within each the sources as they are given.
   */
  render(openMetrics: boolean, tail: string): Rendered {
    this.#arrange()
    for (let place = 0; place < this.#sources.length; place++) this.#refresh(place)
    const pieces = metrics.flatMap((metric) => {
      const found = this.#piecesOf(metric.name)
      return found.length === 0 ? [] : [new Piece(familyHead(metric, openMetrics)), ...found]
    })
    pieces.push(new Piece(tail))
    return {
      plain: () => Buffer.concat(pieces.map((piece) => piece.plain())),
      gzip: () => gzipOf(pieces.map((piece) => piece.packed())),
    }
  }

  /**
   * From now on, for five minutes, takes in what changes as it changes, so that the next scrape
   * finds little left to do. To be called at each scrape: what nobody asks for is not rendered.
   */
  keepFresh(): void {
    this.#askedAt = performance.now()
    this.#timer ??= setInterval(() => {
      if (performance.now() - this.#askedAt < freshForMs) this.freshen(sliceMs)
      else this.#rest()
    }, sliceMs * 4).unref()
  }

  /** Takes in what has changed, for about so many milliseconds at most. */
  freshen(milliseconds: number): void {
    const until = performance.now() + milliseconds
    for (const _ of this.#sources) {
      this.#next = (this.#next + 1) % this.#sources.length
      if (this.#refresh(this.#next) && performance.now() > until) return
    }
  }

  #rest(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Sources may have come or gone since the last time. */
  #arrange(): void {
    const given = this.#given()
    const same = (source: Source, place: number) => source === this.#sources[place]
    if (given.length === this.#sources.length && given.every(same)) return
    const known = new Map(this.#sources.map((source, place) => [source, this.#texts[place]]))
    this.#sources = [...given]
    this.#texts = given.map((source) => known.get(source) ?? new SourceText())
    this.#pieces.clear()
  }

  /** Whether there was something to take in. */
  #refresh(place: number): boolean {
    const [source, text] = [this.#sources[place], this.#texts[place]]
    const readings = source?.readings()
    if (text === undefined || readings === undefined || text.isOf(readings)) return false
    for (const metric of text.update(readings)) this.#pieces.get(metric)?.drop(place)
    return true
  }

  #piecesOf(metric: MetricName): Piece[] {
    const text = (place: number) => this.#texts[place]?.text(metric) ?? ''
    const known = this.#pieces.get(metric)
    if (known?.fit(text)) return known.all
    const fresh = new Pieces(this.#texts.length, text)
    this.#pieces.set(metric, fresh)
    fresh.fit(text)
    return fresh.all
  }
}

const freshForMs = 300_000
/** How long the work for the next scrape may keep a request waiting. */
const sliceMs = 5

/** Large enough to pack well, small enough that a change packs little anew. */
const pieceLength = 48 * 1024

/** The lines of one metric, of the same number of sources in each piece but the last. */
class Pieces {
  readonly #perPiece: number
  readonly #pieces: (Piece | undefined)[]

  constructor(sources: number, text: (place: number) => string) {
    let length = 0
    for (let place = 0; place < sources; place++) length += text(place).length
    const wanted = Math.floor((pieceLength * sources) / Math.max(1, length))
    this.#perPiece = Math.max(1, Math.min(wanted, sources))
    this.#pieces = Array.from({ length: Math.ceil(sources / this.#perPiece) }, () => undefined)
  }

  get all(): Piece[] {
    return this.#pieces.filter((piece): piece is Piece => piece !== undefined && !piece.isEmpty)
  }

  drop(place: number): void {
    this.#pieces[Math.floor(place / this.#perPiece)] = undefined
  }

  /** Makes the pieces that are missing; false when they have grown so that others are needed. */
  fit(text: (place: number) => string): boolean {
    for (const [index, known] of this.#pieces.entries()) {
      if (known !== undefined) continue
      const from = index * this.#perPiece
      const texts = Array.from({ length: this.#perPiece }, (_, i) => text(from + i))
      const piece = new Piece(texts.join(''))
      if (piece.length > 4 * pieceLength && this.#perPiece > 1) return false
      this.#pieces[index] = piece
    }
    return true
  }
}

/** Some lines, held in one form alone: once packed, they take a fifteenth. */
class Piece {
  /** In characters. */
  readonly length: number
  #held: string | Packed

  constructor(text: string) {
    this.#held = text
    this.length = text.length
  }

  get isEmpty(): boolean {
    return this.length === 0
  }

  plain(): Buffer {
    return typeof this.#held === 'string' ? Buffer.from(this.#held) : unpack(this.#held)
  }

  packed(): Packed {
    if (typeof this.#held === 'string') this.#held = pack(Buffer.from(this.#held))
    return this.#held
  }
}

/** The series of one metric of one source. */
interface Family {
  /** `cray_node_power_watts{...} `, sorted. */
  starts: readonly string[]
  /** Where the value of each stands among the readings. */
  places: readonly number[]
  values: number[]
  text: string
}

/** What one source shows. */
class SourceText {
  #readings: readonly Reading[] | undefined
  #families = new Map<MetricName, Family>()

  isOf(readings: readonly Reading[]): boolean {
    return readings === this.#readings
  }

  /** The metrics that have changed. */
  update(readings: readonly Reading[]): Iterable<MetricName> {
    const before = this.#readings
    this.#readings = readings
    if (before !== undefined && haveSameSeries(before, readings)) return this.#setValues(readings)
    const families = familiesOf(readings)
    const changed = new Set([...this.#families.keys(), ...families.keys()])
    this.#families = families
    return changed
  }

  text(metric: MetricName): string {
    return this.#families.get(metric)?.text ?? ''
  }

  #setValues(readings: readonly Reading[]): MetricName[] {
    const changed: MetricName[] = []
    for (const [metric, family] of this.#families) {
      const { starts, places, values } = family
      let same = true
      for (let i = 0; i < places.length; i++) {
        const value = readings[places[i] ?? 0]?.value ?? 0
        if (value === values[i]) continue
        values[i] = value
        same = false
      }
      if (same) continue
      family.text = linesOf(starts, values)
      changed.push(metric)
    }
    return changed
  }
}

function familiesOf(readings: readonly Reading[]): Map<MetricName, Family> {
  const places = new Map<Reading, number>(readings.map((reading, place) => [reading, place]))
  const families = new Map<MetricName, Family>()
  for (const [metric, series] of sortedSeries(readings)) {
    const starts = series.map((reading) => `${seriesText(reading)} `)
    const values = series.map(({ value }) => value)
    families.set(metric, {
      starts,
      places: series.map((reading) => places.get(reading) ?? 0),
      values,
      text: linesOf(starts, values),
    })
  }
  return families
}

/** Joined, not added up: such a string would be kept in parts, which take more. */
function linesOf(starts: readonly string[], values: readonly number[]): string {
  return starts.map((start, i) => `${start}${numberText(values[i] ?? 0)}\n`).join('')
}

function haveSameSeries(before: readonly Reading[], after: readonly Reading[]): boolean {
  if (before.length !== after.length) return false
  for (let i = 0; i < after.length; i++) {
    const [a, b] = [before[i], after[i]]
    if (a === b) continue
    if (a === undefined || b === undefined || a.metric !== b.metric) return false
    if (!haveSameLabels(a.labels, b.labels)) return false
  }
  return true
}

function haveSameLabels(a: Reading['labels'], b: Reading['labels']): boolean {
  if (a === b) return true
  let more = 0
  for (const name in a) {
    if (a[name] !== b[name]) return false
    more++
  }
  for (const _name in b) more--
  return more === 0
}
