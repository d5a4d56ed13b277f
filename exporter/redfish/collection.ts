import { isResourceFault } from './error.ts'
import { linkAt, listAt, textAt } from './parse.ts'

/**
 * Gets a resource of a device, parsed; `path` starts with `/`.
 * @throws {RedfishError}
 */
export type Get = (path: string) => Promise<unknown>

/** Captured collections came whole, with up to 160 members; this many pages are 100 times that. */
const mostPages = 100

/**
 * The paths of a collection's members, on all of its pages, sorted: devices give them in any order.
 * @throws {RedfishError}
 */
export async function collection(path: string, get: Get): Promise<string[]> {
  const members = new Set<string>()
  let next: string | undefined = path
  for (let page = 0; next !== undefined && page < mostPages; page++) {
    const body: unknown = await get(next)
    for (const member of listAt(body, 'Members')) {
      const link = linkAt(member)
      if (link !== undefined) members.add(link)
    }
    next = nextPage(body)
  }
  return [...members].sort()
}

/** As `collection`, but one that is missing or broken has no members. */
export async function collectionIfAny(path: string | undefined, get: Get): Promise<string[]> {
  if (path === undefined) return []
  return (await ifAny(collection(path, get))) ?? []
}

/** Undefined for a resource that is missing or broken; other faults are the device's. */
export async function ifAny<T>(resource: Promise<T>): Promise<T | undefined> {
  try {
    return await resource
  } catch (error) {
    if (isResourceFault(error)) return undefined
    throw error
  }
}

function nextPage(body: unknown): string | undefined {
  const next = textAt(body, 'Members@odata.nextLink')
  return next?.startsWith('/') ? next : undefined
}
