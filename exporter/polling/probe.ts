import { setMaxListeners } from 'node:events'
import type { Device } from '../inventory/static.ts'
import type { Reading } from '../metrics.ts'
import type { Get } from '../redfish/collection.ts'
import { RedfishError } from '../redfish/error.ts'
import type { Expansion } from './expansion.ts'
import { Resources } from './resources.ts'
import { fetchAll } from './round.ts'
import { type Known, limitsOf } from './structure.ts'

export interface ProbeOptions {
  device: Pick<Device, 'xname'>
  module: 'all' | 'power'
  get: Get
  /** Requests at once, where the device's kind bears them. */
  perDevice: number
  signal: AbortSignal
  /** What the device is and has; it may have to be asked for that. */
  known: () => Promise<Known>
  /** The answers of its polls: those that are as good as new ones, and all that are shown. */
  cached: () => Record<'good' | 'shown', ReadonlyMap<string, unknown>>
  /** Which resources of it may come together. */
  expansion: Expansion
  /** Nothing is to be asked now. */
  held: boolean
}

export interface Probed {
  readings: Reading[]
  /** Requests made, and how many of them were answered. */
  asked: number
  answered: number
  /** Resources that are as of the last polls. */
  cached: number
  fault: RedfishError | undefined
}

/**
 * Asks a device now, until the signal ends that. What could not be asked by then is as of the last
 * polls, where these are still shown.
 */
export async function probe(options: ProbeOptions): Promise<Probed> {
  const { device, module, signal, cached, held } = options
  // Every request in flight listens to it.
  setMaxListeners(0, signal)
  const get: Get = (path) => unlessAborted(options.get(path), signal, { ...device, path })
  const resources = new Resources()
  const probed = { readings: [] as Reading[], asked: 0, answered: 0, cached: 0 }
  try {
    const known = await options.known()
    const missing = new Set(wanted(known, module))
    const take = (bodies: ReadonlyMap<string, unknown>) => {
      for (const [path, body] of bodies) {
        if (!missing.delete(path)) continue
        resources.store(path, body)
        probed.cached++
      }
    }
    take(held ? cached().shown : cached().good)
    const store = (path: string, body: unknown) => {
      missing.delete(path)
      resources.store(path, body)
    }
    const { atOnce } = limitsOf(known, options.perDevice)
    const paths = held || signal.aborted ? [] : [...missing]
    const { expansion } = options
    const rounds = { get, atOnce, resources: { store }, expansion }
    const { asked, answered, fault } = await fetchAll(paths, rounds)
    if (signal.aborted) take(cached().shown)
    const readings = known.collector.readings(device, resources.bodies())
    return { ...probed, readings, asked, answered, fault: answered > 0 ? undefined : fault }
  } catch (error) {
    if (error instanceof RedfishError) return { ...probed, fault: error }
    throw error
  }
}

function wanted({ plan }: Known, module: 'all' | 'power'): string[] {
  const { fast, once = [], slow } = plan
  return module === 'all' ? [...fast, ...once, ...slow] : [...fast, ...once]
}

/** Also while a request waits for its turn. @throws {RedfishError} when the signal comes first. */
async function unlessAborted<T>(
  result: Promise<T>,
  signal: AbortSignal,
  where: { xname: string; path: string },
): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const giveUp = () => reject(new RedfishError('timeout', where, 'given up'))
    if (signal.aborted) giveUp()
    signal.addEventListener('abort', giveUp, { once: true })
    result.finally(() => signal.removeEventListener('abort', giveUp)).then(resolve, reject)
  })
}
