import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { Gauge, type Registry } from 'prom-client'
import { errorText, type Logger } from './log.ts'

export interface ReloadOptions {
  /** The settings file; it is looked at so often. */
  file: string
  everySeconds: number
  /** Reads the file and goes by it. @throws {Error} when it cannot; then nothing has changed. */
  apply: () => Promise<void>
  registry: Registry
  log: Logger
}

export interface Reload {
  /** Reads the file now, changed or not. */
  now(): Promise<void>
  close(): Promise<void>
}

/**
 * Applies the settings file anew when its text has changed; by its text, since nothing tells of
 * changes on NFS or of a mounted ConfigMap. A file that is wrong leaves all as it was: the log and
 * metrics named as Prometheus's own say so.
 */
export function watchSettings(options: ReloadOptions): Reload {
  const { file, everySeconds, apply, log } = options
  const metrics = createMetrics(options.registry)
  const closing = new AbortController()
  const { signal } = closing
  let running: Promise<void> = Promise.resolve()
  const reload = async () => {
    try {
      await apply()
      metrics.successful.set(1)
      metrics.successAt.setToCurrentTime()
      log.info({ file }, 'settings read again')
    } catch (error) {
      metrics.successful.set(0)
      log.error({ file, error }, 'settings cannot be read again, the last are kept')
    }
  }
  const now = () => {
    running = running.then(reload)
    return running
  }
  const watch = async () => {
    let known = await textOf(file)
    while (await waited(everySeconds, signal)) {
      const text = await textOf(file)
      if (text === known) continue
      known = text
      await now()
    }
  }
  const watching = watch()
  return {
    now,
    async close() {
      closing.abort()
      await Promise.all([watching, running])
    },
  }
}

/** Of one that cannot be read, why. */
async function textOf(file: string): Promise<string> {
  return await readFile(file, 'utf8').catch(errorText)
}

async function waited(seconds: number, signal: AbortSignal): Promise<boolean> {
  await delay(seconds * 1000, undefined, { signal }).catch(() => {})
  return !signal.aborted
}

function createMetrics(registry: Registry) {
  const registers = [registry]
  const successful = new Gauge({
    name: 'joulebridge_config_last_reload_successful',
    help: 'Whether the settings file was valid when it was last read; if not, the log says why.',
    registers,
  })
  const successAt = new Gauge({
    name: 'joulebridge_config_last_reload_success_timestamp_seconds',
    help: 'Unix time at which the settings file was last read and valid.',
    registers,
  })
  successful.set(1)
  successAt.setToCurrentTime()
  return { successful, successAt }
}
