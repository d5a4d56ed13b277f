import { createHmac, timingSafeEqual } from 'node:crypto'
import { parseXname } from '../inventory/xname.ts'
import type { RedfishClient } from '../redfish/client.ts'
import { collection, type Get, ifAny } from '../redfish/collection.ts'
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
const telemetry = 'CrayTelemetry'
/** A blade that was moved about held six. */
const mostSubscriptions = 100

/**
 * Sees to it that the device has one subscription of ours, and deletes others that we made: for
 * another address, or for the place that a blade was in before. Those of others are left alone.
 * With `renew` it is made anew even if it is there. False: the device pushes no telemetry.
 * @throws {RedfishError}
 */
export async function subscribe(
  xname: string,
  { get, send }: Pick<RedfishClient, 'get' | 'send'>,
  options: { names: SubscriptionNames; renew: boolean },
): Promise<boolean> {
  const { names, renew } = options
  const members = await ifAny(collection(subscriptions, get))
  if (members === undefined) return false
  const ours: { path: string; body: unknown }[] = []
  for (const path of members.slice(0, mostSubscriptions)) {
    const body = await ifAny(get(path))
    if (isOurs(body, names)) ours.push({ path, body })
  }
  const good = renew ? undefined : ours.find(({ body }) => isWanted(body, xname, names))
  for (const { path } of ours) {
    if (path !== good?.path) await ifAny(send('DELETE', path))
  }
  return good !== undefined || (await make(xname, names, { get, send }))
}

/** Made for our address, or with a secret that only we can know. */
function isOurs(body: unknown, names: SubscriptionNames): boolean {
  const destination = textAt(body, 'Destination') ?? ''
  if (destination.startsWith(`${names.advertisedUrl}/`)) return true
  const [, xname, token] =
    /^joulebridge\/(\w+)\/([\w-]+)$/.exec(textAt(body, 'Context') ?? '') ?? []
  return xname !== undefined && token !== undefined && isToken(token, xname, names)
}

function isWanted(body: unknown, xname: string, names: SubscriptionNames): boolean {
  const context = textAt(body, 'Context')
  return (
    textAt(body, 'Destination') === destinationOf(xname, names) &&
    (context === undefined || context === contextOf(xname, names)) &&
    listAt(body, 'RegistryPrefixes').includes(telemetry)
  )
}

/** As hms-hmcollector does; 400 means that the device has no telemetry. */
async function make(
  xname: string,
  names: SubscriptionNames,
  { get, send }: { get: Get; send: RedfishClient['send'] },
): Promise<boolean> {
  const offered = listAt(await ifAny(get(eventService)), 'EventTypesForSubscription')
  const body = {
    Context: contextOf(xname, names),
    Destination: destinationOf(xname, names),
    Protocol: 'Redfish',
    EventTypes: eventTypes.filter((type) => offered.length === 0 || offered.includes(type)),
    RegistryPrefixes: [telemetry],
  }
  try {
    await send('POST', subscriptions, body)
    return true
  } catch (error) {
    if (isRefused(error)) return false
    throw error
  }
}

const eventTypes = ['StatusChange', 'ResourceUpdated', 'ResourceAdded', 'ResourceRemoved', 'Alert']

function isRefused(error: unknown): boolean {
  if (!(error instanceof RedfishError)) return false
  return error.kind === 'unsupported' || error.refusal?.status === 400
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
