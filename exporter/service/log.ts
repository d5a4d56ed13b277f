import { type DestinationStream, type Logger, pino } from 'pino'

export type { Logger } from 'pino'

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const
export const logFormats = ['json', 'logfmt'] as const

export interface LogSettings {
  level: (typeof logLevels)[number]
  format: (typeof logFormats)[number]
}

/**
 * One line a record, a constant message, the rest in fields; logfmt is Prometheus's default. A log
 * that cannot be written stops nothing: on a full disk up to a megabyte of it waits for room.
 */
export function createLog(
  service: string,
  settings: LogSettings,
  stream: DestinationStream = standardError(),
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

function standardError(): DestinationStream {
  const stream = pino.destination({ fd: 2, sync: true, maxLength: 1024 * 1024 })
  return stream.on('error', () => {})
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
  const cause = error.cause === undefined ? '' : errorText(error.cause)
  return text.endsWith(cause) ? text : `${text}: ${cause}`
}

function logfmtTo(stream: DestinationStream): DestinationStream {
  return { write: (line) => stream.write(`${logfmt(JSON.parse(line))}\n`) }
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
