import type { Registry } from 'prom-client'
import {
  type Discovery,
  type DiscoverySource,
  startDiscovery,
} from '../exporter/inventory/discovery.ts'
import { deviceFile } from '../exporter/inventory/file.ts'
import { hsm } from '../exporter/inventory/hsm.ts'
import type { Device } from '../exporter/inventory/static.ts'
import { createTrust } from '../exporter/redfish/trust.ts'
import type { Logger } from '../exporter/service/log.ts'
import type { ControlSettings } from './settings.ts'

interface Context {
  registry: Registry
  log: Logger
  env: NodeJS.ProcessEnv
  onDevices: (devices: readonly Device[]) => void
}

/** Looks for devices where the exporter does: settings, a file, HSM. All, whatever the shard. */
export async function discoverDevices(
  { devices, discovery }: Pick<ControlSettings, 'devices' | 'discovery'>,
  { env, ...context }: Context,
): Promise<Discovery> {
  const { file, hsm: endpoints } = discovery
  const sources: DiscoverySource[] = [
    ...(file ? [deviceFile(file)] : []),
    ...(endpoints ? [hsm(endpoints, { env, log: context.log, trust: createTrust() })] : []),
  ]
  return await startDiscovery({ devices, sources, ...context })
}
