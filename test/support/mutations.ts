/** The resources of a device, by path. */
export type Tree = Map<string, unknown>

/** A device, and the same in the plain form in which the independent check reads it. */
export interface Twin {
  device: Tree
  truth: Tree
  /** Whether the components can still be told by the names of their chassis. */
  placed: boolean
}

type Holder = Record<string, unknown>
type Mutation = (twin: Twin, pick: number) => Twin

/**
 * What other firmware, other vendors and other models might do, by name. In this order they can be
 * combined: how a number is written comes after what it is.
 */
export const mutations: Record<string, Mutation> = {
  'chassis renamed': (twin, pick) => {
    const ids = [...twin.device.keys()].flatMap(
      (path) => /^\/redfish\/v1\/Chassis\/([^/]+)$/.exec(path)?.[1] ?? [],
    )
    // Two numbered parts of a Cray chassis must not change places.
    const [id = ''] = ids.filter((each) => !/\d$/.test(each) || each === '1').slice(pick % 2)
    if (id === '') return twin
    const rename = (text: string) =>
      text.replace(new RegExp(`(/redfish/v1/Chassis/)${id}(?=[/#]|$)`), `$1Frame${pick % 7}a`)
    return { ...both(twin, (tree) => mapStrings(tree, rename)), placed: false }
  },
  'nothing of Oem': (twin) => {
    const all = both(twin, (tree) => mapHolders(tree, ({ Oem: _, ...others }) => others))
    return both(all, (tree) => without(tree, (path) => /\/(Fast|Slow)?PowerMeter$/.test(path)))
  },
  'members in another order': (twin, pick) =>
    both(twin, (tree) => {
      const rotated = mapLists(tree, (list) => rotate(list, pick))
      return new Map(rotate([...rotated], pick))
    }),
  'another vendor': (twin) =>
    onDevice(twin, (tree) =>
      mapHolders(tree, (holder) => ({
        ...holder,
        ...('Manufacturer' in holder && { Manufacturer: 'Acme' }),
        ...('Model' in holder && { Model: 'Thing 1' }),
        ...('Vendor' in holder && typeof holder['Vendor'] === 'string' && { Vendor: 'Acme' }),
      })),
    ),
  'collections in pages': (twin, pick) =>
    onDevice(twin, (tree) => paged(tree, 2 + (pick % 5), ['..', '', aHost][pick % 3])),
  'links with a host': (twin) =>
    onDevice(twin, (tree) =>
      mapHolders(tree, (holder) => {
        const link = holder['@odata.id']
        if (typeof link !== 'string') return holder
        return { ...holder, '@odata.id': link.replace(/^(?=\/)/, aHost) }
      }),
    ),
  'links with a slash at the end': (twin) =>
    onDevice(twin, (tree) =>
      mapHolders(tree, (holder) => {
        const link = holder['@odata.id']
        return typeof link === 'string' ? { ...holder, '@odata.id': `${link}/` } : holder
      }),
    ),
  'a resource is missing': (twin, pick) => {
    const paths = [...twin.device.keys()]
    const leaf = paths.filter((path) => /\/(Sensors|Controls|Outlets|Mains)\/[^/]+$/.test(path))
    const gone = leaf[pick % leaf.length]
    return both(twin, (tree) => without(tree, (path) => path === gone))
  },
  'null for a value': (twin, pick) => both(twin, (tree) => mapReadings(tree, 3 + pick, () => null)),
  'NaN for a value': (twin, pick) => ({
    ...twin,
    device: mapReadings(twin.device, 3 + pick, () => 'NaN'),
    truth: mapReadings(twin.truth, 3 + pick, () => null),
  }),
  'sensors that are not fitted': (twin, pick) =>
    onSensors(twin, pick, (sensor) => ({
      ...sensor,
      Reading: 0,
      Status: { State: 'Absent' },
    })),
  'sensors that were never read': (twin, pick) =>
    onSensors(twin, pick, (sensor) => ({
      ...sensor,
      Reading: 0,
      ReadingTime: '1970-01-01T00:00:00.000000000Z',
    })),
  'units that only the type tells': (twin) =>
    onUnits(twin, ({ ReadingUnits: _, ...others }) => others),
  'temperatures in Fahrenheit': (twin) =>
    onUnits(twin, (sensor, unit) => {
      const { Reading } = sensor
      const isRead = !String(sensor['ReadingTime']).startsWith('1970')
      if (unit !== 'Cel' || typeof Reading !== 'number' || !isRead) return sensor
      return { ...sensor, Reading: Reading * 1.8 + 32, ReadingUnits: '[degF]' }
    }),
  'units a thousand times as large': (twin) =>
    onUnits(twin, (sensor, unit) => {
      const large = { W: 'kW', V: 'kV', J: 'kJ' }[unit]
      const { Reading } = sensor
      if (large === undefined || typeof Reading !== 'number') return sensor
      return { ...sensor, Reading: Reading / 1000, ReadingUnits: large }
    }),
  'units in another case': (twin, pick) =>
    onUnits(twin, (sensor, unit) => ({
      ...sensor,
      ReadingUnits: pick % 2 ? unit.toLowerCase() : unit.toUpperCase(),
    })),
  'numbers as text': (twin, pick) =>
    onDevice(twin, (tree) => mapReadings(tree, pick, (reading) => String(reading))),
  'members with their bodies': (twin) =>
    onDevice(twin, (tree) =>
      mapHolders(tree, (holder) => {
        const { Members } = holder
        return Array.isArray(Members) ? { ...holder, Members: Members.map(withBody(tree)) } : holder
      }),
    ),
}

const aHost = 'https://10.0.0.1'

/** The device without a field, wherever it stands. */
export function withoutField(tree: ReadonlyMap<string, unknown>, field: string): Tree {
  return mapHolders(new Map(tree), (holder) =>
    Object.fromEntries(Object.entries(holder).filter(([name]) => name !== field)),
  )
}

function both(twin: Twin, change: (tree: Tree) => Tree): Twin {
  return { ...twin, device: change(twin.device), truth: change(twin.truth) }
}

function onDevice(twin: Twin, change: (tree: Tree) => Tree): Twin {
  return { ...twin, device: change(twin.device) }
}

/** Some of the sensors: in truth they have no reading. */
function onSensors(twin: Twin, pick: number, change: (sensor: Holder) => Holder): Twin {
  let number = pick
  const chosen = new Set(
    [...twin.device.keys()].filter((path) => /\/Sensors\/[^/]+$/.test(path) && number++ % 7 === 0),
  )
  const onChosen = (tree: Tree, map: (sensor: Holder) => Holder) =>
    new Map([...tree].map(([path, body]) => [path, chosen.has(path) ? map(body as Holder) : body]))
  const { device, truth } = twin
  return {
    ...twin,
    device: onChosen(device, change),
    truth: onChosen(truth, ({ Reading: _, ...others }) => others),
  }
}

/** Sensors that tell what they measure and its unit; a copy of one has no unit of its own. */
function onUnits(twin: Twin, change: (sensor: Holder, unit: string) => Holder): Twin {
  return onDevice(twin, (tree) =>
    mapHolders(tree, (holder) => {
      const { ReadingUnits: unit, ReadingType: type } = holder
      return typeof unit === 'string' && typeof type === 'string' ? change(holder, unit) : holder
    }),
  )
}

const readingFields =
  /^(Reading\w*|\w+Watts|LineInputVoltage|active_power|current|voltage|energy|temperature_celsius)$/

/** Every seventh reading, counted from `pick`. */
function mapReadings(tree: Tree, pick: number, change: (value: number) => unknown): Tree {
  let number = pick
  return mapHolders(tree, (holder) =>
    Object.fromEntries(
      Object.entries(holder).map(([name, value]) =>
        typeof value === 'number' && readingFields.test(name) && number++ % 7 === 0
          ? [name, change(value)]
          : [name, value],
      ),
    ),
  )
}

function withBody(tree: Tree) {
  return (link: Holder) => ({ ...link, ...Object(tree.get(String(link['@odata.id']))) })
}

/**
 * Each collection in pages of so many members, linked as Intel servers link them, with a host, or
 * from where they are (`..`).
 */
function paged(tree: Tree, size: number, form = ''): Tree {
  const found: Tree = new Map()
  for (const [path, body] of tree) {
    const members = (body as Holder)['Members']
    if (!Array.isArray(members) || members.length <= size) {
      found.set(path, body)
      continue
    }
    const before = form === '..' ? '' : form + path
    for (let at = 0; at < members.length; at += size) {
      const next = at + size < members.length
      found.set(at === 0 ? path : `${path}?$skiptoken=${at}`, {
        ...(body as Holder),
        Members: members.slice(at, at + size),
        ...(next && { 'Members@odata.nextLink': `${before}?$skiptoken=${at + size}` }),
      })
    }
  }
  return found
}

function without(tree: Tree, isGone: (path: string) => boolean): Tree {
  return new Map([...tree].filter(([path]) => !isGone(path)))
}

function rotate<T>(list: readonly T[], by: number): T[] {
  const at = list.length === 0 ? 0 : by % list.length
  return [...list.slice(at), ...list.slice(0, at)].reverse()
}

/** Of the lists only those of links: others have an order of their own. */
function mapLists(tree: Tree, change: (list: unknown[]) => unknown[]): Tree {
  return mapHolders(tree, (holder) =>
    Object.fromEntries(
      Object.entries(holder).map(([name, value]) =>
        Array.isArray(value) && name === 'Members' ? [name, change(value)] : [name, value],
      ),
    ),
  )
}

function mapStrings(tree: Tree, change: (text: string) => string): Tree {
  const map = (value: unknown): unknown => {
    if (typeof value === 'string') return change(value)
    if (Array.isArray(value)) return value.map(map)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, map(each)]))
  }
  return new Map([...tree].map(([path, body]) => [change(path), map(body)]))
}

function mapHolders(tree: Tree, change: (holder: Holder) => Holder): Tree {
  const map = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(map)
    if (typeof value !== 'object' || value === null) return value
    const changed = change(value as Holder)
    return Object.fromEntries(Object.entries(changed).map(([name, each]) => [name, map(each)]))
  }
  return new Map([...tree].map(([path, body]) => [path, map(body)]))
}
