import { Writable } from 'node:stream'
import { type Logger, pino } from 'pino'

export type { Logger } from 'pino'

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const
export const logFormats = ['json', 'logfmt'] as const

export interface LogSettings {
  level: (typeof logLevels)[number]
  format: (typeof logFormats)[number]
}

/** One line a record, a constant message, the rest in fields; logfmt is Prometheus's default. */
export function createLog(
  service: string,
  settings: LogSettings,
  stream: NodeJS.WritableStream = process.stderr,
): Logger {
  const options = {
    level: settings.level,
    base: { service },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    messageKey: 'message',
    errorKey: 'error',
    serializers: { error: describeError },
  }
  return pino(options, settings.format === 'json' ? stream : logfmtTo(stream))
}

/** An error as fields: message, its causes, and the stack only where the fault is ours. */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const ours = error.name === 'AssertionError' || error.name === 'TypeError'
  return ours ? `${errorText(error)}\n${error.stack}` : errorText(error)
}

/** The message of an error with those of its causes: "scrape failed: connect refused". */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const text = error.message || ('code' in error ? String(error.code) : error.name)
  return error.cause === undefined ? text : `${text}: ${errorText(error.cause)}`
}

function logfmtTo(stream: NodeJS.WritableStream): Writable {
  return new Writable({
    decodeStrings: false,
    write(line: string, _encoding, done) {
      stream.write(`${logfmt(JSON.parse(line))}\n`, () => done())
    },
  })
}

function logfmt(record: Record<string, unknown>): string {
  return Object.entries(record)
    .map(([key, value]) => `${key}=${quote(value)}`)
    .join(' ')
}

function quote(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text)
}
