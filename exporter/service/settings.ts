import { readFile } from 'node:fs/promises'
import { isMap, isNode, isSeq, LineCounter, type Node, parseDocument } from 'yaml'
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
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true })
  const fault = (offset: number, message: string) =>
    `${file}:${lines.linePos(offset).line}: ${message}`
  const malformed = document.errors.map(({ pos, message, code }) =>
    fault(pos[0], message.split('\n')[0] ?? code),
  )
  if (malformed.length > 0) throw new SettingsError(malformed.join('\n'))
  const result = schema.safeParse(camelKeys(document.toJS() ?? {}))
  if (result.success) return result.data
  const wrong = result.error.issues.map((issue) => {
    const path = issue.path.map((part) => (typeof part === 'string' ? snake(part) : part))
    const node = nearest(document.contents, path)
    return fault(node?.range?.[0] ?? 0, `${path.join('.') || 'the document'}: ${textOf(issue)}`)
  })
  throw new SettingsError(wrong.join('\n'))
}

function textOf(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'unrecognized_keys') return issue.message
  return `unknown setting ${issue.keys.map(snake).join(', ')}`
}

/** Reads and parses a settings file. @throws {SettingsError} also when it cannot be read. */
export async function readSettings<S extends z.ZodType>(
  schema: S,
  file: string,
): Promise<z.output<S>> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    const code = cause instanceof Error && 'code' in cause ? cause.code : cause
    throw new SettingsError(`${file}: cannot be read: ${String(code)}`, { cause })
  })
  return parseSettings(schema, text, file)
}

/** The deepest node of `path` that the document has: a missing key is reported at its parent. */
function nearest(root: Node | null, path: readonly PropertyKey[]): Node | undefined {
  let node = root
  for (const part of path) {
    const next = isMap(node) || isSeq(node) ? node.get(part, true) : undefined
    if (!isNode(next)) break
    node = next
  }
  return node ?? undefined
}

/** Keys that hold an upper-case letter stay as they are, and so are unknown to the schema. */
function camelKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(camelKeys)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      /[A-Z]/.test(key)
        ? `"${key}"`
        : key.replace(/_([a-z0-9])/g, (_, c: string) => c.toUpperCase()),
      camelKeys(inner),
    ]),
  )
}

function snake(key: string): string {
  return key.startsWith('"') ? key : key.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)
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
    const code = cause instanceof Error && 'code' in cause ? cause.code : cause
    throw new Error(`secret file ${where.file} cannot be read: ${String(code)}`, { cause })
  })
  return text.replace(/\r?\n$/, '')
}
