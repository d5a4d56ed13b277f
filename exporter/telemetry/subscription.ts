import { createHmac, timingSafeEqual } from 'node:crypto'
import { parseXname } from '../inventory/xname.ts'
import type { RedfishClient } from '../redfish/client.ts'
import { collection, ifAny } from '../redfish/collection.ts'
import { RedfishError } from '../redfish/error.ts'
import { listAt, textAt } from '../redfish/parse.ts'

/** What a subscription of ours says of itself, and how such ones are told from others'. */
export interface SubscriptionNames {
  /** Where the devices post to, without a slash at its end. */
  advertisedUrl: string
  /** What the secrets of the subscriptions are made from. */
  key: Buffer
}

/** The secret of a device's subscription; whoever posts without it is not that device. */
export function tokenOf(xname: string, { key }: SubscriptionNames): string {
  return createHmac('sha256', key).update(xname).digest('base64url').slice(0, 22)
}

/** The xname stands last, for devices that do not return the context: HPE's hms-hmcollector. */
export function destinationOf(xname: string, names: SubscriptionNames): string {
  return `${names.advertisedUrl}/${tokenOf(xname, names)}/${xname}`
}

export function contextOf(xname: string, names: SubscriptionNames): string {
  return `joulebridge/${xname}/${tokenOf(xname, names)}`
}

export function isToken(given: string, xname: string, names: SubscriptionNames): boolean {
  const [a, b] = [given, tokenOf(xname, names)].map((text) => Buffer.from(text))
  return a !== undefined && b !== undefined && a.length === b.length && timingSafeEqual(a, b)
}

const eventService = '/redfish/v1/EventService'
const subscriptions = `${eventService}/Subscriptions`
/** A blade that was moved about held six. */
const mostSubscriptions = 100

/**
 * The registries of our subscriptions: telemetry comes of one that names it; one that names none
 * carries changes of power states and alerts.
 */
const wantedRegistries = { telemetry: ['CrayTelemetry'], changes: [] } as const
type Purpose = keyof typeof wantedRegistries

export interface SubscribeOptions {
  names: SubscriptionNames
  /** Make them anew even if they are there. */
  renew: boolean
  /** Whether changes are wanted besides telemetry. */
  changes: boolean
}

/** subscribed: there is one of ours; unsupported: it has none to give; full: it has no room. */
export type SubscribeOutcome = 'subscribed' | 'unsupported' | 'full'

/**
 * Sees to it that the device has one subscription of ours for each purpose, and deletes others that
 * we made: for another address, or for the place that a blade was in before. Those of others are
 * left alone.
 * @throws {RedfishError}
 */
export async function subscribe(
  xname: string,
  requests: Requests,
  { names, renew, changes }: SubscribeOptions,
): Promise<SubscribeOutcome> {
  const ours = await listOurs(requests, names)
  if (ours === undefined) return 'unsupported'
  const purposes: Purpose[] = changes ? ['telemetry', 'changes'] : ['telemetry']
  const good = new Map(
    renew
      ? []
      : purposes.map((purpose) => [
          purpose,
          ours.find(({ body }) => isWanted(body, xname, { names, purpose })),
        ]),
  )
  for (const each of ours) {
    if (![...good.values()].includes(each)) await ifAny(requests.send('DELETE', each.path))
  }
  let outcome: SubscribeOutcome = 'subscribed'
  for (const purpose of purposes) {
    if (outcome !== 'subscribed' || good.get(purpose) !== undefined) continue
    const made = await make(xname, requests, { names, purpose })
    // Telemetry is what we are here for; without the other a power state is polled a bit later.
    if (purpose === 'telemetry') outcome = made
  }
  return outcome
}

/** Deletes the subscriptions of ours that a device has. @throws {RedfishError} */
export async function unsubscribe(requests: Requests, names: SubscriptionNames): Promise<void> {
  for (const { path } of (await listOurs(requests, names)) ?? []) {
    await ifAny(requests.send('DELETE', path))
  }
}

type Requests = Pick<RedfishClient, 'get' | 'send'>

/** Undefined: the device has no subscriptions at all. */
async function listOurs(
  { get }: Requests,
  names: SubscriptionNames,
): Promise<{ path: string; body: unknown }[] | undefined> {
  const members = await ifAny(collection(subscriptions, get))
  if (members === undefined) return undefined
  const ours: { path: string; body: unknown }[] = []
  for (const path of members.slice(0, mostSubscriptions)) {
    const body = await ifAny(get(path))
    if (isOurs(body, names)) ours.push({ path, body })
  }
  return ours
}

/** Made for our address, or with a secret that only we can know. */
function isOurs(body: unknown, { advertisedUrl, key }: SubscriptionNames): boolean {
  const destination = textAt(body, 'Destination') ?? ''
  const rest = destination.startsWith(advertisedUrl) && destination.slice(advertisedUrl.length)
  if (rest && /^\/[\w-]+\/x\w+$/.test(rest)) return true
  const [, xname, token] =
    /^joulebridge\/(\w+)\/([\w-]+)$/.exec(textAt(body, 'Context') ?? '') ?? []
  return xname !== undefined && token !== undefined && isToken(token, xname, { advertisedUrl, key })
}

function isWanted(
  body: unknown,
  xname: string,
  { names, purpose }: { names: SubscriptionNames; purpose: Purpose },
): boolean {
  const context = textAt(body, 'Context')
  const prefixes = listAt(body, 'RegistryPrefixes')
  const wanted = wantedRegistries[purpose]
  return (
    textAt(body, 'Destination') === destinationOf(xname, names) &&
    (context === undefined || context === contextOf(xname, names)) &&
    prefixes.length === wanted.length &&
    wanted.every((each) => prefixes.includes(each))
  )
}

/** As hms-hmcollector does; 400 means that the device has no telemetry. */
async function make(
  xname: string,
  { get, send }: Requests,
  { names, purpose }: { names: SubscriptionNames; purpose: Purpose },
): Promise<SubscribeOutcome> {
  const offered = listAt(await ifAny(get(eventService)), 'EventTypesForSubscription')
  const registries = wantedRegistries[purpose]
  const body = {
    Context: contextOf(xname, names),
    Destination: destinationOf(xname, names),
    Protocol: 'Redfish',
    EventTypes: eventTypes.filter((type) => offered.length === 0 || offered.includes(type)),
    ...(registries.length > 0 && { RegistryPrefixes: registries }),
  }
  try {
    await send('POST', subscriptions, body)
  } catch (error) {
    const outcome = outcomeOf(error)
    if (outcome === undefined) throw error
    return outcome
  }
  return 'subscribed'
}

const eventTypes = ['StatusChange', 'ResourceUpdated', 'ResourceAdded', 'ResourceRemoved', 'Alert']

/** Base and Event Service registries (DSP8011): CreateLimitReached.., EventSubscriptionLimit.. */
const limitReached = /\.(?:EventSubscriptionLimitExceeded|CreateLimitReachedForResource)$/
const withoutRoom = [409, 429, 503, 507]

/** What it means that a subscription could not be made; undefined: nothing, it was not asked. */
function outcomeOf(error: unknown): SubscribeOutcome | undefined {
  if (!(error instanceof RedfishError)) return undefined
  const { kind, refusal } = error
  // It did, and then said something that is no JSON.
  if (kind === 'malformed' && refusal === undefined) return 'subscribed'
  if (refusal === undefined) return undefined
  if (limitReached.test(refusal.messageId ?? '') || withoutRoom.includes(refusal.status)) {
    return 'full'
  }
  return kind === 'unsupported' || refusal.status === 400 ? 'unsupported' : undefined
}

/** The device that a path of ours is for: `/TOKEN/XNAME`; undefined when the secret is wrong. */
export function addresseeOf(path: string, names: SubscriptionNames): string | undefined {
  const [xname = '', token = ''] = path.split('/').reverse()
  try {
    const { text } = parseXname(xname)
    return isToken(token, text, names) ? text : undefined
  } catch {
    return undefined
  }
}
