import type { ClientBase } from 'pg'
import {
  compareLabels,
  compareTexts,
  compileMatchers,
  type Labels,
  possibleValues,
} from './matchers.ts'
import type { Matcher } from './protocol/read.ts'

export interface FoundSeries {
  id: number
  labels: Labels
}

/** Series whose labels are kept: some 300 bytes each. */
const mostKept = 200_000

/** An id may be another series' a week after its own was forgotten (segments/forget.ts). */
const keptMs = 24 * 3_600_000

/**
 * The series that a query's matchers choose. PostgreSQL narrows them down where an index can, and
 * says which there are; every matcher is then tested here, on labels that are kept from one query
 * to the next: a series has the same ones as long as there is one.
 */
export class SeriesFinder {
  #known = new KnownSeries()

  /**
   * In order of their labels, as the client's transaction sees them.
   * @throws {RequestError} 400 for a regular expression that Prometheus refuses.
   */
  async find(client: ClientBase, matchers: readonly Matcher[]): Promise<FoundSeries[]> {
    const matches = compileMatchers(matchers)
    const ids = await candidates(client, matchers)
    if (Date.now() - this.#known.since > keptMs) this.#known = new KnownSeries()
    // Another query may begin anew meanwhile: this one keeps to what it has.
    const known = this.#known
    await known.fetch(client, ids)
    const found: FoundSeries[] = []
    for (const id of ids) {
      const labels = known.labels.get(id)
      if (labels && matches(labels)) found.push({ id, labels })
    }
    if (known.labels.size > mostKept) this.#known = new KnownSeries()
    return found.sort((a, b) => compareLabels(a.labels, b.labels))
  }
}

class KnownSeries {
  readonly since = Date.now()
  readonly labels = new Map<number, Labels>()
  /** Each text once: most series share most names and values. */
  readonly #texts = new Map<string, string>()

  async fetch(client: ClientBase, ids: readonly number[]): Promise<void> {
    const unknown = ids.filter((id) => !this.labels.has(id))
    for (let from = 0; from < unknown.length; from += pageSize) {
      const { rows } = await client.query<{ id: number; metric: string; labels: object }>(
        'select id, metric, labels from series where id = any($1::int4[])',
        [unknown.slice(from, from + pageSize)],
      )
      for (const { id, metric, labels } of rows) this.labels.set(id, this.#sorted(metric, labels))
    }
  }

  #sorted(metric: string, labels: object): Labels {
    const pairs: [string, unknown][] = [['__name__', metric], ...Object.entries(labels)]
    pairs.sort(([a], [b]) => compareTexts(a, b))
    return pairs.flatMap(([name, value]) => [this.#once(name), this.#once(String(value))])
  }

  #once(text: string): string {
    const known = this.#texts.get(text)
    if (known === undefined) this.#texts.set(text, text)
    return known ?? text
  }
}

const pageSize = 10_000

/**
 * Ids of all series that may match: those of the metrics that are asked for, with the labels that
 * must be equal. Without either, those with any of the values that one label may have.
 */
async function candidates(client: ClientBase, matchers: readonly Matcher[]): Promise<number[]> {
  const metrics = matchers.filter(isName).map(possibleValues).find(isKnown)
  const rest = matchers.filter((matcher) => !isName(matcher))
  const equal = rest.filter(({ kind, value }) => kind === '=' && value !== '')
  const { rows } = await client.query<{ ids: string | null }>(
    `select string_agg(id::text, ',') as ids
     from series
     where ($1::text[] is null or metric = any($1))
       and ($2::jsonb is null or labels @> $2)
       and ($3::jsonb[] is null or labels @> any($3))`,
    [
      metrics ?? null,
      equal.length > 0 ? JSON.stringify(toObject(equal)) : null,
      metrics || equal.length > 0 ? null : anyOf(rest),
    ],
  )
  const ids = rows[0]?.ids ?? ''
  return ids === '' ? [] : ids.split(',').map(Number)
}

/** One object for each value that the most telling matcher allows. */
function anyOf(matchers: readonly Matcher[]): string[] | null {
  const choices = matchers.flatMap((matcher) => {
    const values = possibleValues(matcher)
    return values ? [values.map((value) => JSON.stringify({ [matcher.name]: value }))] : []
  })
  return choices.sort((a, b) => a.length - b.length)[0] ?? null
}

function toObject(matchers: readonly Matcher[]): Record<string, string> {
  return Object.fromEntries(matchers.map(({ name, value }) => [name, value]))
}

function isName({ name }: Matcher): boolean {
  return name === '__name__'
}

function isKnown<T>(values: T | undefined): values is T {
  return values !== undefined
}
