import { familyHead, numberText, seriesText, sortedSeries } from './exposition.ts'
import { Family, type Lines, Piece } from './exposition-pieces.ts'
import { gzipOf } from './gzip-pieces.ts'
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
  readonly #families = new Map<MetricName, Family>()
  /** The source that is looked at next, and how many have been in this round. */
  #next = 0
  #looked = 0
  #roundBeganAt = 0
  /** What changed before this has been taken in. */
  #takenInAt = Number.NEGATIVE_INFINITY
  #packed = false
  #timer: NodeJS.Timeout | undefined
  #askedAt = Number.NEGATIVE_INFINITY

  constructor(sources: () => readonly Source[]) {
    this.#given = sources
  }

  /**
   * As `exposition` in `exposition.ts`, followed by `tail`: Prometheus text 0.0.4 or OpenMetrics
   * 1.0, metrics in the order of the table, within each the sources as they are given. What came
   * within the last `mostLateMs` may be left for the next time, where that saves work.
   */
  render(openMetrics: boolean, tail: string, mostLateMs = 0): Rendered {
    const now = performance.now()
    const isNew = this.#arrange()
    const late = isNew || mostLateMs === 0 || now - this.#takenInAt > mostLateMs
    this.#takeIn(now, late ? Number.POSITIVE_INFINITY : now + sliceMs)
    const pieces = metrics.flatMap((metric) => {
      const found = this.#family(metric.name).pieces(now - mostLateMs)
      return found.length === 0 ? [] : [new Piece(familyHead(metric, openMetrics)), ...found]
    })
    pieces.push(new Piece(tail))
    return {
      plain: () => {
        this.#packed = false
        return Buffer.concat(pieces.map((piece) => piece.plain()))
      },
      gzip: () => {
        this.#packed = true
        return gzipOf(pieces.map((piece) => piece.packed()))
      },
    }
  }

  /**
   * From now on, for five minutes, does what can be done before the next scrape. To be called at
   * each: what nobody asks for is not rendered.
   */
  keepFresh(): void {
    this.#askedAt = performance.now()
    this.#timer ??= this.#freshenIn(idleMs)
  }

  /**
   * Does what can be done before the next scrape, for about so many milliseconds; answers whether
   * that was all.
   */
  freshen(milliseconds: number): boolean {
    const now = performance.now()
    const until = now + milliseconds
    const renewal = { staleSince: now - restMs, until, packed: this.#packed }
    return (
      this.#takeIn(now, until) && metrics.every(({ name }) => this.#family(name).renew(renewal))
    )
  }

  #freshenIn(milliseconds: number): NodeJS.Timeout {
    const work = () => {
      const done = this.freshen(sliceMs)
      const asked = performance.now() - this.#askedAt < freshForMs
      this.#timer = asked ? this.#freshenIn(done ? idleMs : sliceMs) : undefined
    }
    return setTimeout(work, milliseconds).unref()
  }

  /** Whether sources have come or gone since the last time. */
  #arrange(): boolean {
    const given = this.#given()
    const same = (source: Source, place: number) => source === this.#sources[place]
    if (given.length === this.#sources.length && given.every(same)) return false
    const known = new Map(this.#sources.map((source, place) => [source, this.#texts[place]]))
    this.#sources = [...given]
    this.#texts = given.map((source) => known.get(source) ?? new SourceText())
    this.#families.clear()
    this.#looked = 0
    return true
  }

  /** Takes in what has changed; false when the time is over before all sources were looked at. */
  #takeIn(now: number, until: number): boolean {
    for (const _ of this.#sources) {
      if (this.#looked === 0) this.#roundBeganAt = now
      this.#next = (this.#next + 1) % this.#sources.length
      const changed = this.#refresh(this.#next)
      this.#looked = (this.#looked + 1) % this.#sources.length
      if (this.#looked === 0) this.#takenInAt = this.#roundBeganAt
      if (changed && performance.now() > until) return false
    }
    return true
  }

  /** Whether there was something to take in. */
  #refresh(place: number): boolean {
    const [source, text] = [this.#sources[place], this.#texts[place]]
    const readings = source?.readings()
    if (text === undefined || readings === undefined || text.isOf(readings)) return false
    // It may have changed right after it was looked at last.
    const since = this.#takenInAt
    for (const metric of text.update(readings)) this.#families.get(metric)?.changed(place, since)
    return true
  }

  #family(metric: MetricName): Family {
    const known = this.#families.get(metric)
    if (known !== undefined && !known.hasGrown) return known
    const fresh = new Family(metric, this.#texts)
    this.#families.set(metric, fresh)
    return fresh
  }
}

const freshForMs = 300_000
/** How long the work for the next scrape may keep a request waiting. */
const sliceMs = 5
/** From one look for work to the next when there was none. */
const idleMs = 25
/** A piece is made again so often at most, since its sources change one after the other. */
const restMs = 500

/** The series of one metric of one source. */
interface Series {
  /** `cray_node_power_watts{...} `, sorted. */
  starts: readonly string[]
  /** Where the value of each stands among the readings. */
  places: readonly number[]
  values: number[]
  /** Absent since a value changed. */
  text?: string | undefined
}

/** What one source shows. */
class SourceText implements Lines {
  #readings: readonly Reading[] | undefined
  #families = new Map<MetricName, Series>()

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
    const family = this.#families.get(metric)
    if (family === undefined) return ''
    family.text ??= linesOf(family)
    return family.text
  }

  #setValues(readings: readonly Reading[]): MetricName[] {
    const changed: MetricName[] = []
    for (const [metric, family] of this.#families) {
      const { places, values } = family
      let same = true
      for (let i = 0; i < places.length; i++) {
        const value = readings[places[i] ?? 0]?.value ?? 0
        if (value === values[i]) continue
        values[i] = value
        same = false
      }
      if (same) continue
      family.text = undefined
      changed.push(metric)
    }
    return changed
  }
}

function familiesOf(readings: readonly Reading[]): Map<MetricName, Series> {
  const places = new Map<Reading, number>(readings.map((reading, place) => [reading, place]))
  const families = new Map<MetricName, Series>()
  for (const [metric, series] of sortedSeries(readings)) {
    const starts = series.map((reading) => `${seriesText(reading)} `)
    const values = series.map(({ value }) => value)
    families.set(metric, {
      starts,
      places: series.map((reading) => places.get(reading) ?? 0),
      values,
    })
  }
  return families
}

/** Joined, not added up: such a string would be kept in parts, which take more. */
function linesOf({ starts, values }: Series): string {
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
