import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { parseSettings, seconds } from '../service/settings.ts'
import type { DiscoverySource } from './discovery.ts'
import { deviceList } from './static.ts'

/** A file with a list of devices, as `devices` in the settings has it, in YAML or JSON. */
export const deviceFileSettings = z.strictObject({
  path: z.string(),
  /** How often it is looked at; also where nothing tells of changes, as on NFS. */
  everySeconds: seconds.default(5),
})
export type DeviceFileSettings = z.output<typeof deviceFileSettings>

/** The devices of the file; it is parsed again only when its text has changed. */
export function deviceFile(settings: DeviceFileSettings): DiscoverySource {
  const { path, everySeconds } = settings
  let last: { text: string; devices: ReturnType<typeof parseDevices> } | undefined
  return {
    name: 'file',
    settings,
    everySeconds,
    async read() {
      const text = await readFile(path, 'utf8').catch((cause: unknown) => {
        throw new Error(`device file ${path}: cannot be read`, { cause })
      })
      if (last?.text !== text) last = { text, devices: parseDevices(text, path) }
      return last.devices
    },
  }
}

/** An empty file is one that is being written: no devices are `[]`. */
function parseDevices(text: string, path: string) {
  return parseSettings(deviceList.unwrap(), text, path)
}
