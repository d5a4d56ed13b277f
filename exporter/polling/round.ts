import type { Get } from '../redfish/collection.ts'
import { RedfishError } from '../redfish/error.ts'
import type { Resources } from './resources.ts'

export interface Round {
  /** How many of the paths were answered. */
  answered: number
  /** The first thing that went wrong. */
  fault: RedfishError | undefined
}

/**
 * Gets `paths`, `atOnce` at a time, into `resources`; those that fail are missed there. A fault of
 * the device itself ends the round: a dead one must not cost a timeout for each of its sensors.
 */
export async function fetchAll(
  paths: readonly string[],
  options: { get: Get; atOnce: number; resources: Resources },
): Promise<Round> {
  const round: Round = { answered: 0, fault: undefined }
  const rest = [...paths]
  let timeouts = 0
  let over = false
  const next = async (path: string) => {
    try {
      options.resources.store(path, await options.get(path))
      round.answered++
      timeouts = 0
    } catch (error) {
      if (!(error instanceof RedfishError)) throw error
      round.fault ??= error
      options.resources.miss(path)
      timeouts = error.kind === 'timeout' ? timeouts + 1 : timeouts
      over ||= isDeviceFault(error) || timeouts >= mostTimeouts
    }
  }
  const worker = async () => {
    for (let path = rest.shift(); path !== undefined; path = rest.shift()) {
      if (over) options.resources.miss(path)
      else await next(path)
    }
  }
  await Promise.all(Array.from({ length: options.atOnce }, worker))
  return round
}

/** One slow resource is not a dead device; this many in a row are. */
const mostTimeouts = 3

function isDeviceFault({ kind }: RedfishError): boolean {
  return kind === 'unreachable' || kind === 'unauthorized'
}
