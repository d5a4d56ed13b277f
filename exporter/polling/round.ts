import type { Get } from '../redfish/collection.ts'
import { isResourceFault, RedfishError } from '../redfish/error.ts'
import { type Expansion, type Group, isWorthwhile, listOf } from './expansion.ts'
import type { Resources } from './resources.ts'
import type { Selection } from './selection.ts'

export interface Outcome {
  /** How many requests were made, and how many answered. */
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
  /** Which paths may come together; absent: none. */
  expansion?: Expansion | undefined
  /** What may be read in part; absent: nothing. */
  selection?: Selection | undefined
}

/**
 * Gets `paths`, `atOnce` at a time, into `resources`. A fault of the device itself ends the round:
 * a dead one must not cost a timeout for each of its sensors.
 */
export async function fetchAll(paths: readonly string[], options: RoundOptions): Promise<Outcome> {
  const {
    get,
    atOnce,
    resources,
    mayGoOn = async () => true,
    isDue = () => true,
    expansion,
    selection,
  } = options
  const outcome = { asked: 0, answered: 0, silent: 0, fault: undefined as RedfishError | undefined }
  const rest: (string | Group)[] = expansion?.grouped(paths) ?? [...paths]
  const doubtful = new Set<string>()
  let silences = 0
  let over = false
  const counted: Get = (path) => {
    outcome.asked++
    return get(path)
  }
  const next = async (path: string) => {
    try {
      resources.store(path, await (selection?.read(path, counted) ?? counted(path)))
      outcome.answered++
      silences = 0
      if (doubtful.has(listOf(path))) expansion?.refuse(listOf(path))
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
  // Members that do not come together are asked for one by one.
  const together = async (group: Group, by: Expansion) => {
    const answers = { asked: 0 }
    try {
      const found = await by.read(group, async (path) => {
        const body = await counted(path)
        answers.asked++
        return body
      })
      for (const [path, body] of found) resources.store(path, body)
      silences = 0
      rest.unshift(...group.paths.filter((path) => !found.has(path)))
    } catch (error) {
      over ||= !(error instanceof RedfishError)
      if (!(error instanceof RedfishError)) throw error
      outcome.fault ??= error
      if (isResourceFault(error)) by.refuse(group.list)
      else doubtful.add(group.list)
      rest.unshift(...group.paths)
    }
    outcome.answered += answers.asked
  }
  const worker = async () => {
    while (!over && rest.length > 0 && (await mayGoOn())) {
      const task = over ? undefined : rest.shift()
      if (task === undefined) return
      const due = typeof task === 'string' ? [task].filter(isDue) : task.paths.filter(isDue)
      const [first] = due
      if (typeof task !== 'string' && expansion !== undefined && isWorthwhile(due)) {
        await together({ ...task, paths: due }, expansion)
      } else if (typeof task !== 'string') rest.unshift(...due)
      else if (first !== undefined) await next(first)
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, paths.length) }, worker))
  const unasked = rest.flatMap((task) => (typeof task === 'string' ? [task] : task.paths))
  return { ...outcome, unasked }
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
