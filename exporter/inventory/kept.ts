import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { replaceFile } from '../service/directory.ts'
import type { Logger } from '../service/log.ts'
import type { DiscoverySource } from './discovery.ts'
import { type Device, deviceSettings } from './static.ts'

const keptList = z.object({ readAt: z.string(), devices: z.array(deviceSettings) })

/**
 * `source`, with what it had last kept in a file of `directory`: where it cannot be asked at the
 * start, these are its devices until it can.
 */
export function keeping(source: DiscoverySource, directory: string, log: Logger): DiscoverySource {
  const file = join(directory, `${source.name}-devices.json`)
  let written: readonly Device[] | undefined
  const keep = async (devices: readonly Device[]) => {
    if (devices === written || JSON.stringify(devices) === JSON.stringify(written)) return
    await mkdir(directory, { recursive: true })
    await replaceFile(file, JSON.stringify({ readAt: new Date().toISOString(), devices }))
    written = devices
  }
  return {
    ...source,
    settings: { ...source.settings, directory },
    async read(signal) {
      const devices = await source.read(signal)
      await keep(devices).catch((error: unknown) => {
        log.warn({ source: source.name, error }, 'devices cannot be kept for the next start')
      })
      return devices
    },
    async last() {
      const text = await readFile(file, 'utf8').catch(() => undefined)
      if (text === undefined) return []
      const kept = parsed(text)
      if (kept === undefined) {
        log.warn({ source: source.name, file }, 'devices kept from before cannot be read')
        return []
      }
      const { devices, readAt } = kept
      log.info({ source: source.name, devices: devices.length, read_at: readAt }, 'devices kept')
      written = devices
      return devices
    },
  }
}

function parsed(text: string) {
  try {
    return keptList.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
