import { enlarged } from '../byte-table.ts'
import { type Intake, metricType } from './intake.ts'
import type { Symbols } from './symbols.ts'
import type { WireReader } from './wire.ts'

/** Fields of io.prometheus.write.v2.Metadata. */
const TYPE = 0x08
const HELP_REF = 0x18
const UNIT_REF = 0x20

/**
 * The metadata that remote write 2.0 sends with each sample of each series. Of each series a hash
 * of the last is kept, so that only changes are read: of four thousand million changes one is
 * missed until the next start.
 */
export class SeriesMetadata {
  readonly #intake: Intake
  readonly #symbols: Symbols
  #hashes = new Int32Array(1024)

  constructor(intake: Intake, symbols: Symbols) {
    this.#intake = intake
    this.#symbols = symbols
  }

  /** Adds the metadata to the request's, if it is new. @throws {RequestError} 400 for bad refs. */
  read(reader: WireReader, end: number, entry: number): void {
    let [type, help, unit] = [0, 0, 0]
    while (reader.at < end) {
      const tag = reader.tag()
      if (tag === TYPE) type = reader.unsigned()
      else if (tag === HELP_REF) help = reader.unsigned()
      else if (tag === UNIT_REF) unit = reader.unsigned()
      else reader.skip(tag, end)
    }
    if (help >= this.#symbols.count || unit >= this.#symbols.count) {
      throw reader.malformed(`metadata refers to symbol ${Math.max(help, unit)}`)
    }
    if (type !== 0 || help !== 0 || unit !== 0) this.#tell(entry, type, help, unit)
  }

  forget(): void {
    this.#hashes.fill(0)
  }

  #tell(entry: number, typeNumber: number, help: number, unit: number): void {
    const texts = Math.imul(this.#symbols.hash(help), 31) ^ this.#symbols.hash(unit)
    const hash = Math.imul(texts, 31) ^ typeNumber
    if (this.#hashes[entry] === hash) return
    while (entry >= this.#hashes.length) {
      this.#hashes = enlarged(this.#hashes, new Int32Array(this.#hashes.length * 2))
    }
    this.#hashes[entry] = hash
    const type = metricType(typeNumber)
    const name = this.#intake.index.labels(entry).find((label) => label.name === '__name__')
    this.#intake.metadata({
      metric: familyOf(name?.value ?? '', type),
      type,
      help: this.#symbols.text(help),
      unit: this.#symbols.text(unit),
    })
  }
}

/** The series of a classic histogram or summary have the metric's name with an ending. */
function familyOf(metric: string, type: string): string {
  if (type === 'histogram') return metric.replace(/_(bucket|count|sum)$/, '')
  if (type === 'gaugehistogram') return metric.replace(/_(bucket|gcount|gsum)$/, '')
  return type === 'summary' ? metric.replace(/_(count|sum)$/, '') : metric
}
