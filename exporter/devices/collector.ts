import type { Device, DeviceKind } from '../inventory/static.ts'
import type { Reading } from '../metrics.ts'
import type { Get } from '../redfish/collection.ts'

/** The resources of a device that are worth asking for, by pace. */
export interface Plan {
  /** Power and energy. */
  fast: readonly string[]
  slow: readonly string[]
  /** What does not change while the device runs. */
  once?: readonly string[]
  /** Absent: each resource is asked for by itself. */
  expand?: Expand | undefined
}

/** What a service says that it can do to give a list with its members (DSP0266, `$expand`). */
export interface Expand {
  /** What stands after the `?`. */
  query: string
  lists: readonly string[]
}

/** What is known of one kind of device: which resources to get, and what they mean. */
export interface Collector {
  kind: DeviceKind
  /** How many requests the kind bears at once, where that is fewer than the settings allow. */
  requestsAtOnce?: number
  /** Whether its requests, one at a time, need a pause between them. */
  spaced?: boolean
  /**
   * Finds the resources of this device. A part that is missing is left out.
   * @throws {RedfishError} when the device cannot be asked.
   */
  plan(get: Get): Promise<Plan>
  /** The readings in what was fetched, by path; a resource that failed is not in the map. */
  readings(device: Pick<Device, 'xname'>, resources: ReadonlyMap<string, unknown>): Reading[]
}
