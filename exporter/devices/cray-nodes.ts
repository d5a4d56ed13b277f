import { listedMembers } from '../redfish/collection.ts'
import { fieldAt, linkAt, listAt, textAt } from '../redfish/parse.ts'

type Resources = ReadonlyMap<string, unknown>

/**
 * The nodes among the chassis and systems of a controller that are not called `NodeN`, as
 * `Chassis/c0` to `Node0`. A chassis is a node by its own `Id` or `Name`, by its sensors (only
 * nodes count their energy), or by the one system that it is linked with and no other chassis. Its
 * number is that of its name, else that of its system, else the one that its id ends in, else its
 * place among the nodes.
 */
export function nodeNames(resources: Resources): ReadonlyMap<string, string> {
  if (![...resources.keys()].some(isOddlyNamed)) return new Map()
  const bodies = componentsOf(resources)
  const chassis = [...bodies.keys()].filter((key) => key.startsWith('Chassis/'))
  const systems = [...bodies.keys()].filter((key) => key.startsWith('Systems/'))
  const systemNumbers = numbered(systems, (key) => ownNumber(key, bodies))
  const linked = linksOf(bodies)
  const nodes = chassis.filter((key) => {
    const own = ownNumber(key, bodies) !== undefined
    return own || isNodeBySensors(key, resources) || linked.get(key)?.alone === true
  })
  const numbers = numbered(nodes, (key) => {
    const system = linked.get(key)?.system
    return ownNumber(key, bodies) ?? (system === undefined ? undefined : systemNumbers.get(system))
  })
  return new Map([...systemNumbers, ...numbers].map(([key, number]) => [key, `Node${number}`]))
}

/** Whether the path is of a chassis or system whose name does not tell what it is. */
export function isOddlyNamed(path: string): boolean {
  return anywhere.test(path) && !isNamed.test(path)
}

const anywhere = /^\/redfish\/v1\/((?:Chassis|Systems)\/[^/?]+)/
const isNamed =
  /^\/redfish\/v1\/(Chassis\/Enclosure|\w+\/(Node|Mezz|Blade|Perif)[ _-]?\d+)(?=[/?]|$)/i
const isNumbered = /\/(?:Node|Mezz|Blade|Perif)[ _-]?\d+$/i

/** Also those of which only a part is known. */
function componentsOf(resources: Resources): Map<string, unknown> {
  const found = new Map<string, unknown>()
  for (const path of resources.keys()) {
    const key = anywhere.exec(path)?.[1]
    if (key !== undefined && !found.has(key)) found.set(key, resources.get(`/redfish/v1/${key}`))
  }
  return new Map([...found].sort(([a], [b]) => byNumber.compare(a, b)))
}

const byNumber = new Intl.Collator('en', { numeric: true })

function ownNumber(key: string, bodies: Resources): number | undefined {
  const body = bodies.get(key)
  const names = [key.split('/')[1], textAt(body, 'Id'), textAt(body, 'Name')]
  const digits = names.map((name) => /^Node[ _-]?(\d+)$/i.exec(name ?? '')?.[1]).find(Boolean)
  return digits === undefined ? undefined : Number(digits)
}

function isNodeBySensors(key: string, resources: Resources): boolean {
  if (isNumbered.test(key)) return false
  const members = listedMembers(`/redfish/v1/${key}/Sensors`, resources)
  const power = resources.get(`/redfish/v1/${key}/Power`)
  return (
    members.some((member) => nodeSensor.test(member)) ||
    listAt(power, 'PowerControl').some((each) => textAt(each, 'Name') === 'Node Power Control')
  )
}

const nodeSensor = /\/Chassis(VoltageRegulator0InputEnergy|(CPU|Memory)Subsystem0Output\w+)$/

/** The one system of a chassis, and whether no other chassis that may be a node has it. */
function linksOf(bodies: Resources): Map<string, { system: string; alone: boolean }> {
  const pairs = [...bodies].flatMap(([key, body]): [string, string][] => {
    const isSystem = key.startsWith('Systems/')
    const others = listAt(fieldAt(body, 'Links'), isSystem ? 'Chassis' : 'ComputerSystems')
    const [one, ...more] = others.flatMap((other) => anywhere.exec(linkAt(other) ?? '')?.[1] ?? [])
    if (one === undefined || more.length > 0) return []
    return [isSystem ? [one, key] : [key, one]]
  })
  const ofNodes = pairs.filter(([key]) => key !== 'Chassis/Enclosure' && !/\/Mezz/i.test(key))
  return new Map(
    ofNodes.map(([key, system]) => {
      const rivals = ofNodes.filter(([other, its]) => its === system && other !== key)
      return [key, { system, alone: rivals.length === 0 }]
    }),
  )
}

/** Each with a number of its own: the known one, that which its id ends in, or a free one. */
function numbered(
  keys: readonly string[],
  known: (key: string) => number | undefined,
): Map<string, number> {
  const found = new Map<string, number>()
  const taken = new Set<number>()
  const give = (number: (key: string) => number | undefined) => {
    for (const key of keys) {
      const own = found.has(key) ? undefined : number(key)
      if (own === undefined || taken.has(own)) continue
      taken.add(own)
      found.set(key, own)
    }
  }
  give(known)
  give((key) => {
    const digits = /(\d)$/.exec(key)?.[1]
    return digits === undefined ? undefined : Number(digits)
  })
  for (let free = 0; found.size < keys.length; free++) {
    const next = keys.find((key) => !found.has(key))
    if (next === undefined || taken.has(free)) continue
    taken.add(free)
    found.set(next, free)
  }
  return found
}
