import { useEffect, useState } from 'preact/hooks'
import { get, send } from './api.ts'
import type { ComponentStatus } from './control-api.ts'

interface Answer {
  status: ComponentStatus[]
}

/** What was read last, kept while the tab shows other views: each reading asks the devices. */
let known: ReadonlyMap<string, ComponentStatus> | undefined
let readAt = ''
/** What we have switched since. */
let stale: readonly string[] = []

/** At most so many are asked by name; more by asking for all. */
const mostNamed = 1000

/** After these are switched, what is known of them no longer holds. */
export function forget(xnames: readonly string[]): void {
  stale = [...new Set([...stale, ...xnames])]
}

/** For another user, who may see other things. */
export function forgetAll(): void {
  known = undefined
  stale = []
}

/** The power of all components; `again` reads it anew, of those named or of all. */
export function useStatuses() {
  const [state, setState] = useState<{ value?: ComponentStatus[]; error?: string }>(
    known ? { value: [...known.values()] } : {},
  )
  const [reading, setReading] = useState(false)
  const again = async (xnames: readonly string[] | undefined) => {
    setReading(true)
    try {
      setState({ value: await read(xnames) })
    } catch (error) {
      setState((last) => ({ ...last, error: String(error) }))
    }
    setReading(false)
  }
  useEffect(() => {
    if (known === undefined || stale.length > 0) void again(known && stale)
  }, [])
  return { ...state, reading, readAt, again }
}

async function read(xnames: readonly string[] | undefined): Promise<ComponentStatus[]> {
  const some = known !== undefined && xnames !== undefined && xnames.length <= mostNamed
  const { status } = some
    ? await send<Answer>('POST', '/power-status', { xname: xnames })
    : await get<Answer>('/power-status')
  const all = new Map(some ? known : [])
  for (const each of status) all.set(each.xname, each)
  known = all
  readAt = new Date().toISOString()
  stale = []
  return [...all.values()]
}
