import { readFile } from 'node:fs/promises'
import { type Document, isMap, isNode, isSeq, LineCounter, type Node, parseDocument } from 'yaml'
import { z } from 'zod'
import { parseAddress } from './http.ts'
import { logFormats, logLevels } from './log.ts'

/** Every fault of a configuration at once, one a line: `file:line: path: what is wrong`. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError'
}

/**
 * Parses YAML with snake_case keys into the camelCase object that `schema` describes, with its
 * defaults. `file` is only named in messages.
 * @throws {SettingsError} naming every unknown key and bad value.
 */
export function parseSettings<S extends z.ZodType>(
  schema: S,
  text: string,
  file: string,
): z.output<S> {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const fault = (offset: number, message: string) =>
    `${file}:${lines.linePos(offset).line}: ${message}`
  const malformed = document.errors.map(({ pos, message }) => fault(pos[0], message))
  if (malformed.length > 0) throw new SettingsError(malformed.join('\n'))
  const result = schema.safeParse(camelKeys(plainValue(document, file) ?? {}))
  if (result.success) return result.data
  const wrong = result.error.issues.flatMap(partsOf).map(({ path, message }) => {
    const node = nearest(document.contents, path)
    return fault(node?.range?.[0] ?? 0, `${path.join('.') || 'the document'}: ${message}`)
  })
  throw new SettingsError(wrong.join('\n'))
}

/** @throws {SettingsError} when an alias means nothing, or the aliases mean too much. */
function plainValue(document: Document, file: string): unknown {
  try {
    return document.toJS()
  } catch (cause) {
    throw new SettingsError(`${file}: cannot be read as YAML`, { cause })
  }
}

/** What zod found, with the path as it is written; each unknown setting is a fault of its own. */
function partsOf(issue: z.core.$ZodIssue): { path: PropertyKey[]; message: string }[] {
  const path = issue.path.map((part) => (typeof part === 'string' ? snake(part) : part))
  if (issue.code !== 'unrecognized_keys') return [{ path, message: issue.message }]
  return issue.keys.map((key) => ({ path: [...path, snake(key)], message: 'unknown setting' }))
}

/** Reads and parses a settings file. @throws {SettingsError} also when it cannot be read. */
export async function readSettings<S extends z.ZodType>(
  schema: S,
  file: string,
): Promise<z.output<S>> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new SettingsError(`${file}: cannot be read`, { cause })
  })
  return parseSettings(schema, text, file)
}

/** The deepest key or item of `path` in the document: a missing one is reported at its parent. */
function nearest(root: Node | null, path: readonly PropertyKey[]): Node | undefined {
  let [node, place] = [root, root]
  for (const part of path) {
    const key = isMap(node) ? node.items.find(({ key }) => String(key) === part)?.key : undefined
    const next = isMap(node) || isSeq(node) ? node.get(part, true) : undefined
    if (!isNode(next)) break
    node = next
    place = isNode(key) ? key : next
  }
  return place ?? undefined
}

/**
 * Keys that hold an upper-case letter are quoted, and so unknown to the schema. A key without a
 * value, as of a section whose settings are all commented out, counts as absent.
 */
function camelKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(camelKeys)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== null)
      .map(([key, inner]) => [camel(key), camelKeys(inner)]),
  )
}

function camel(key: string): string {
  if (/[A-Z]/.test(key)) return `"${key}"`
  return key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}

/** The key as it is written in the file: what `camel` made of it, undone. */
function snake(key: string): string {
  if (key.startsWith('"')) return key.slice(1, -1)
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

/** A number of seconds above 0. */
export const seconds = z.number('expected a number of seconds').positive()

/** `host:port` to listen on. */
export const listenAddress = z.string().superRefine((address, context) => {
  try {
    parseAddress(address)
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message })
  }
})

export const logSettings = z
  .strictObject({
    level: z.enum(logLevels).default('info'),
    format: z.enum(logFormats).default('json'),
  })
  .prefault({})

/** Where a secret stands: never in the settings themselves. */
export const secret = z.union(
  [z.strictObject({ file: z.string() }), z.strictObject({ env: z.string() })],
  'expected {file: PATH} or {env: NAME}; a secret does not stand in the settings',
)
export type Secret = z.output<typeof secret>

/**
 * The secret's present value, without a trailing line end.
 * @throws {Error} naming the file or variable, never the value.
 */
export async function readSecret(where: Secret, env: NodeJS.ProcessEnv): Promise<string> {
  if ('env' in where) {
    const value = env[where.env]
    if (value === undefined) throw new Error(`environment variable ${where.env} is not set`)
    return value
  }
  const text = await readFile(where.file, 'utf8').catch((cause: unknown) => {
    throw new Error(`secret file ${where.file} cannot be read`, { cause })
  })
  return text.replace(/\r?\n$/, '')
}
