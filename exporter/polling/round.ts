import type { Get } from '../redfish/collection.ts'
import { RedfishError } from '../redfish/error.ts'
import type { Resources } from './resources.ts'

export interface Outcome {
  /** How many of the paths were asked for, and how many answered. */
  asked: number
  answered: number
  /** How many of them were not answered at all, not even by an error. */
  silent: number
  /** The first thing that went wrong. */
  fault: RedfishError | undefined
  /** What was not come to; it should be the first of the next round. */
  unasked: readonly string[]
}

export interface RoundOptions {
  get: Get
  atOnce: number
  resources: Pick<Resources, 'store'>
  /** Asked before each request, it may wait; false ends the round. */
  mayGoOn?: () => Promise<boolean>
  /** What is not due when its turn comes is left out. */
  isDue?: (path: string) => boolean
}

/**
 * Gets `paths`, `atOnce` at a time, into `resources`. A fault of the device itself ends the round:
 * a dead one must not cost a timeout for each of its sensors.
 */
export async function fetchAll(paths: readonly string[], options: RoundOptions): Promise<Outcome> {
  const { get, atOnce, resources, mayGoOn = async () => true, isDue = () => true } = options
  const outcome = { asked: 0, answered: 0, silent: 0, fault: undefined as RedfishError | undefined }
  const rest = [...paths]
  let silences = 0
  let over = false
  const next = async (path: string) => {
    outcome.asked++
    try {
      resources.store(path, await get(path))
      outcome.answered++
      silences = 0
    } catch (error) {
      over ||= !(error instanceof RedfishError)
      if (!(error instanceof RedfishError)) throw error
      outcome.fault ??= error
      if (isSilence(error)) {
        silences++
        outcome.silent++
      }
      over ||= silences >= mostSilences || (isRefusal(error) && outcome.answered === 0)
    }
  }
  const worker = async () => {
    while (!over && rest.length > 0 && (await mayGoOn())) {
      const path = over ? undefined : rest.shift()
      if (path !== undefined && isDue(path)) await next(path)
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, rest.length) }, worker))
  return { ...outcome, unasked: rest }
}

/**
 * `get` for finding out what a device has: a resource that hangs is taken for one that is broken,
 * but for the first, and until so many do that it is the device that hangs. `onMissed` is told of
 * each.
 */
export function tolerating(get: Get, onMissed: () => void): Get {
  let silences = 0
  let answers = 0
  return async (path) => {
    try {
      const body = await get(path)
      silences = 0
      answers++
      return body
    } catch (error) {
      if (!(error instanceof RedfishError) || error.kind !== 'timeout') throw error
      silences++
      onMissed()
      if (answers === 0 || silences >= mostSilences) throw error
      const where = { xname: error.xname, path }
      throw new RedfishError('malformed', where, 'no answer in time', { cause: error })
    }
  }
}

/** One resource that hangs or breaks the connection is not a dead device; so many in a row are. */
const mostSilences = 3

function isSilence({ kind }: RedfishError): boolean {
  return kind === 'timeout' || kind === 'unreachable' || kind === 'unauthorized'
}

function isRefusal({ kind }: RedfishError): boolean {
  return kind === 'unauthorized'
}
