import { fieldAt, linkAt, numberAt, textAt } from './parse.ts'
import { inBaseUnits, unitOf } from './units.ts'

/** A copy of a sensor's reading inside another resource (Redfish `SensorExcerpt`). */
export interface Excerpt {
  /** In the unit that the property's name says. */
  value: number
  /** The path of the sensor that it is copied from. */
  source: string | undefined
  /** What is measured, where the excerpt says so: a fan, a device. */
  name: string | undefined
  /** Of a power: VA, and the share that is real. */
  apparentVoltAmperes: number | undefined
  powerFactor: number | undefined
}

/** `{DataSourceUri, Reading}`, or the bare number that some services send instead. */
export function excerptAt(body: unknown, ...path: string[]): Excerpt | undefined {
  const found = fieldAt(body, ...path)
  const value = numberAt(found) ?? numberAt(found, 'Reading')
  if (value === undefined || textAt(found, 'Status', 'State') === 'Absent') return undefined
  return {
    value,
    source: sourceOf(found),
    name: textAt(found, 'DeviceName'),
    apparentVoltAmperes: numberAt(found, 'ApparentVA'),
    powerFactor: numberAt(found, 'PowerFactor'),
  }
}

/**
 * A reading in a base unit that says its unit itself, as the draft schema of 2019 has them; a
 * `factor` given replaces what the unit says.
 */
export function selfDescribedAt(
  body: unknown,
  path: readonly string[],
  factor?: number,
): Excerpt | undefined {
  const excerpt = excerptAt(body, ...path)
  if (excerpt === undefined) return undefined
  const by = factor ?? unitOf(fieldAt(body, ...path))?.factor ?? 1
  return { ...excerpt, value: inBaseUnits(excerpt.value, by) }
}

/** Every path that a resource's excerpts with a reading are copied from. */
export function excerptSources(body: unknown, depth = deepest): string[] {
  if (typeof body !== 'object' || body === null || depth === 0) return []
  const source = numberAt(body, 'Reading') === undefined ? undefined : sourceOf(body)
  const within = Object.values(body).flatMap((each) => excerptSources(each, depth - 1))
  return source === undefined ? within : [source, ...within]
}

/** Excerpts stand at most three levels deep in the schemas. */
const deepest = 6

function sourceOf(excerpt: unknown): string | undefined {
  return linkAt({ '@odata.id': fieldAt(excerpt, 'DataSourceUri') })
}
