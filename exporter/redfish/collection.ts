import { isResourceFault } from './error.ts'
import { fieldAt, linkAt, listAt, textAt } from './parse.ts'

/**
 * Gets a resource of a device, parsed; `path` starts with `/`.
 * @throws {RedfishError}
 */
export type Get = (path: string) => Promise<unknown>

/** Captured collections came whole, with up to 160 members; this many pages are 100 times that. */
const mostPages = 100

/** What a collection holds, by path. */
export interface Listing {
  /** Sorted: devices give them in any order. */
  members: string[]
  /** Its own pages, the first of them the collection's path. */
  pages: string[]
}

/**
 * A collection with all of its pages.
 * @throws {RedfishError}
 */
async function listing(path: string, get: Get): Promise<Listing> {
  const bodies = new Map<string, unknown>()
  let next: string | undefined = path
  while (next !== undefined && !bodies.has(next) && bodies.size < mostPages) {
    const body: unknown = await get(next)
    bodies.set(next, body)
    next = nextPage(body, next)
  }
  return { members: listedMembers(path, bodies), pages: [...bodies.keys()] }
}

/** The members of a collection whose pages are among `resources`. */
export function listedMembers(path: string, resources: ReadonlyMap<string, unknown>): string[] {
  const members = new Set<string>()
  const seen = new Set<string>()
  let next: string | undefined = path
  while (next !== undefined && !seen.has(next)) {
    seen.add(next)
    const body = resources.get(next)
    for (const link of memberLinks(body)) members.add(link)
    next = nextPage(body, next)
  }
  return [...members].sort()
}

/** The paths of a collection's members. @throws {RedfishError} */
export async function collection(path: string, get: Get): Promise<string[]> {
  return (await listing(path, get)).members
}

/** As `collection`, but one that is missing or broken has no members. */
export async function collectionIfAny(path: string | undefined, get: Get): Promise<string[]> {
  return (await listingIfAny(path, get)).members
}

/** As `listing`, but one that is missing or broken has no members and no pages. */
export async function listingIfAny(path: string | undefined, get: Get): Promise<Listing> {
  const found = path === undefined ? undefined : await ifAny(listing(path, get))
  return found ?? { members: [], pages: [] }
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

/** HPE PDUs call the members of their collections `Outlets` and `Branch`. */
const memberLists = ['Members', 'Outlets', 'Branch', 'Branches']

/** By a list's answer: those that are kept are looked at again at each poll. */
const linksKnown = new WeakMap<object, readonly string[]>()

function memberLinks(body: unknown): readonly string[] {
  const answer = Object(body)
  const known = linksKnown.get(answer) ?? linksIn(answer)
  linksKnown.set(answer, known)
  return known
}

function linksIn(body: unknown): string[] {
  const members = memberLists.flatMap((name) => [...listAt(body, name)])
  return members.flatMap((member) => linkAt(member) ?? linkAt(member, 'Links') ?? [])
}

/** Some services write the next page relative to this one (`?$skip=50`), or with their own host. */
function nextPage(body: unknown, page: string): string | undefined {
  const name = ['Members@odata.nextLink', '@odata.nextLink'].find((each) => fieldAt(body, each))
  const next = name === undefined ? undefined : textAt(body, name)
  const base = `http://device${page}`
  if (next === undefined || !URL.canParse(next, base)) return undefined
  const { pathname, search } = new URL(next, base)
  return pathname + search
}
