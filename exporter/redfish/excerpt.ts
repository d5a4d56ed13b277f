import { fieldAt, linkAt, textAt } from './parse.ts'
import { inBaseUnits, readingAt, unitOf } from './units.ts'

/** A copy of a sensor's reading inside another resource (Redfish `SensorExcerpt`). */
export interface Excerpt {
  /** In the unit that the property's name says. */
  value: number
  /** The path of the sensor that it is copied from. */
  source: string | undefined
  /** What is measured, where the excerpt says so: a fan, a device. */
  name: string | undefined
}

/** `{DataSourceUri, Reading}`, or the bare number that some services send instead. */
export function excerptAt(body: unknown, ...path: string[]): Excerpt | undefined {
  const found = fieldAt(body, ...path)
  const value = readingAt(found) ?? readingAt(found, 'Reading')
  if (value === undefined || textAt(found, 'Status', 'State') === 'Absent') return undefined
  return {
    value,
    source: sourceOf(found),
    name: textAt(found, 'DeviceName'),
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

/**
 * The path of what an excerpt, or a member of an older list, is a copy of: a sensor, or such a
 * member (`.../Thermal#Temperatures/0`).
 */
export function sourceOf(excerpt: unknown): string | undefined {
  const source = linkAt({ '@odata.id': fieldAt(excerpt, 'DataSourceUri') })
  return source === undefined ? undefined : normalLink(source)
}

/** `Power#PowerControl/0`, `Power/#PowerControl/0` and `Power#/PowerControl/0` are the same. */
export function normalLink(link: string): string {
  return link.replace(/\/?#\/?/, '#').replace(/\/+$/, '')
}
