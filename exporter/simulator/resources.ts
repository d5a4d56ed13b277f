import type { DeviceKind } from '../inventory/static.ts'
import type { Seconds } from './load.ts'
import type { ResetType } from './timeline.ts'

/** What a device answers at each path, as of an instant; paths have no trailing slash. */
export type Resources = Map<string, (at: Seconds) => unknown>

export interface SimulatedDevice {
  xname: string
  kind: DeviceKind
  resources: Resources
  /** The targets of reset actions. */
  resets: ReadonlyMap<string, Reset>
  /** What else can be written, by path. */
  writes?: ReadonlyMap<string, Write>
  /** Response headers that the kind sends besides. */
  headers: Readonly<Record<string, string>>
  /** Whether it has power and answers; absent: always. */
  isUp?: (at: Seconds) => boolean
}

export interface Reset {
  /** The machine that it acts on. */
  xname: string
  allowed: readonly ResetType[]
}

/** What a device does with a PATCH, or the POST of an action that is no system's reset. */
export interface Write {
  method: 'PATCH' | 'POST'
  answer(body: unknown, context: WriteContext): WriteReply | Promise<WriteReply>
}

export interface WriteContext {
  /** Now, with all that was due by now having happened. */
  asOf(): Seconds
  /** Takes a reset of a machine into the story. */
  reset(xname: string, type: ResetType): Promise<void>
  /** Resolves when what was changed is kept for a later start. */
  save(): Promise<void>
}

export interface WriteReply {
  status: number
  body?: unknown
}

export const root = '/redfish/v1'

/** A Redfish resource with its `@odata` properties; `type` such as `Sensor.v1_1_0.Sensor`. */
export function resource(path: string, type: string, properties: object): object {
  return { '@odata.etag': etag, '@odata.id': path, '@odata.type': `#${type}`, ...properties }
}

/** Cray controllers send one tag for everything, whether it changes or not. */
const etag = 'W/"1650406340"'

export function link(path: string): { '@odata.id': string } {
  return { '@odata.id': path }
}

/** Adds what never changes. */
export function addFixed(
  resources: Resources,
  path: string,
  type: string,
  properties: object,
): void {
  const fixed = resource(path, type, properties)
  resources.set(path, () => fixed)
}

/** Adds the collection at `path` of the resources `path/NAME`. */
export function addCollection(
  resources: Resources,
  path: string,
  type: string,
  names: readonly string[],
): void {
  addFixed(resources, path, `${type}Collection.${type}Collection`, {
    Description: `${type} Collection`,
    Members: names.map((name) => link(`${path}/${name}`)),
    'Members@odata.count': names.length,
    Name: `${type} Collection`,
  })
}

/** Adds the service root with links to these collections. */
export function addRoot(
  resources: Resources,
  collections: readonly string[],
  properties: object,
): void {
  const links = collections.map((name) => [name, link(`${root}/${name}`)])
  addFixed(resources, root, 'ServiceRoot.v1_2_0.ServiceRoot', {
    Description: 'The service root for all Redfish requests on this host',
    Id: 'RootService',
    Name: 'Root Service',
    ...Object.fromEntries(links),
    SessionService: link(`${root}/SessionService`),
    Links: { Sessions: link(`${root}/SessionService/Sessions`) },
    ...properties,
  })
}

export const healthy = { Health: 'OK', State: 'Enabled' }

/** Rounds as a device does before it tells a value. */
export function round(value: number, digits = 0): number {
  const scale = 10 ** digits
  return Math.round(value * scale) / scale
}

/** An error body (DSP0266, "Error responses"); `code` is of the Base registry. */
export function redfishError(code: string, message: string, args: readonly string[]): object {
  const id = `Base.1.4.${code}`
  const info = {
    '@odata.type': '#Message.v1_0_5.Message',
    Message: message,
    MessageArgs: args,
    MessageId: id,
    Resolution: 'Correct the request and resubmit it.',
    Severity: 'Critical',
  }
  return { error: { '@Message.ExtendedInfo': [info], code: id, message } }
}
