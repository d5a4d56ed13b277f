/**
 * Looks into JSON of a device. What is not there, or not of the type asked for, is undefined: one
 * odd field must not cost the rest of its resource, and `null` or `"N/A"` is no reading.
 */
export function fieldAt(value: unknown, ...path: string[]): unknown {
  let found = value
  for (const name of path) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, name)) return undefined
    found = (found as Record<string, unknown>)[name]
  }
  return found
}

/** A finite number. */
export function numberAt(value: unknown, ...path: string[]): number | undefined {
  const found = fieldAt(value, ...path)
  return typeof found === 'number' && Number.isFinite(found) ? found : undefined
}

/** A number written as text, as Cray's `Oem.Hpe` fields are, or as a number. */
export function numericTextAt(value: unknown, ...path: string[]): number | undefined {
  const found = fieldAt(value, ...path)
  if (typeof found !== 'string' || found.trim() === '') return numberAt(found)
  return numberAt(Number(found))
}

/** Text that is not empty, without blanks around it. */
export function textAt(value: unknown, ...path: string[]): string | undefined {
  const found = fieldAt(value, ...path)
  const text = typeof found === 'string' ? found.trim() : ''
  return text === '' ? undefined : text
}

export function listAt(value: unknown, ...path: string[]): readonly unknown[] {
  const found = fieldAt(value, ...path)
  return Array.isArray(found) ? found : []
}

/**
 * The path that a link (`{"@odata.id": ...}`) names, without a slash at its end. Some services put
 * their own host before it.
 */
export function linkAt(value: unknown, ...path: string[]): string | undefined {
  const link = textAt(value, ...path, '@odata.id')?.replace(/^https?:\/\/[^/]+/i, '')
  return link?.startsWith('/') ? link.replace(/\/+$/, '') : undefined
}
