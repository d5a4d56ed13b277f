import { fieldAt } from '../redfish/parse.ts'

/** More than any fleet of one kind of hardware has; a device that sends ever new ones is cut. */
const mostTexts = 100_000
const longestText = 200

/**
 * Texts that many devices send alike, kept once for all: 2,000 controllers give the same 100 paths,
 * ids, names and units each.
 */
export class SharedTexts {
  #texts = new Map<string, string>()

  of(text: string): string {
    if (text.length > longestText) return text
    const known = this.#texts.get(text)
    if (known !== undefined) return known
    if (this.#texts.size >= mostTexts) this.#texts.clear()
    this.#texts.set(text, text)
    return text
  }

  /**
   * An answer as it is worth keeping: of a resource, and of each element of a list, the texts are
   * shared, and what no collector reads is left out. That is a third of what a sensor of an EX425
   * takes as it comes (724 bytes).
   */
  slim(body: unknown): unknown {
    if (Array.isArray(body)) return body.map((each) => this.#slimObject(each))
    return this.#slimObject(body)
  }

  #slimObject(body: unknown): unknown {
    if (typeof body !== 'object' || body === null || Array.isArray(body)) return body
    const slim: Record<string, unknown> = {}
    // Not Object.entries: this is done for each answer, and its pairs would be half of the garbage.
    for (const name in body) {
      if (unread.has(name)) continue
      const value = fieldAt(body, name)
      slim[name] = typeof value === 'string' && !isTime.test(name) ? this.of(value) : value
    }
    return slim
  }
}

/** Neither readings nor what names them; the last is none of JSON's. */
const unread: ReadonlySet<string> = new Set([
  '@odata.context',
  '@odata.etag',
  '@odata.type',
  'Actions',
  'Thresholds',
  'ReadingRangeMax',
  'ReadingRangeMin',
  '__proto__',
])

/** New at each reading. */
const isTime = /Time$/
