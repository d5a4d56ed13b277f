import { collectionOf, link, type RedfishTree } from './redfish.ts'

/**
 * Controllers of which no recording is here, as `telemetry-endpoints.md` beside the project tells
 * of them: chassis, ids, units, what has no reading. It tells nothing of EX254n and EX255a, which
 * are made like their kin. Each reading is another number.
 */
export interface CrayModel {
  /** As the independent check calls its kind. */
  kind: 'EX4252' | 'EX235n' | 'EX254n' | 'EX255a' | 'Slingshot'
  xname: string
  tree: RedfishTree
}

const chassisList = '/redfish/v1/Chassis'

const units = {
  Power: ['Power', 'W'],
  Energy: ['EnergyJoules', 'J'],
  Voltage: ['Voltage', 'V'],
  Current: ['Current', 'A'],
  Temperature: ['Temperature', 'Cel'],
} as const

type Shape = Record<string, readonly string[]>

export function crayModels(): CrayModel[] {
  return [
    {
      kind: 'EX4252',
      xname: 'x1000c0s2b0',
      tree: nodeController({
        nodes: [0, 1, 2, 3],
        card: ['ChassisVoltageRegulator1OutputPower', '-ChassisVoltageRegulator2OutputPower'],
        node: [...sockets(2), ...dimms],
        mezz: [0, 1],
        limits: ['NodePowerLimit'],
      }),
    },
    {
      kind: 'EX235n',
      xname: 'x1000c0s3b0',
      tree: nodeController({
        nodes: [0, 1],
        card: [],
        node: [...sockets(1), ...range(4).map((n) => `-GPUSubsystemGPU${n}Power`)],
        mezz: [0, 1],
        limits: [],
      }),
    },
    {
      kind: 'EX254n',
      xname: 'x1000c0s4b1',
      tree: nodeController({
        nodes: [0, 1],
        card: [],
        node: [...sockets(4), ...range(4).map((n) => `GPUSubsystemGPU${n}Power`)],
        mezz: [2, 3],
        limits: ['NodePowerLimit', ...range(4).map((n) => `Accelerator${n}PowerLimit`)],
      }),
    },
    {
      kind: 'EX255a',
      xname: 'x1000c0s5b0',
      tree: nodeController({
        nodes: [0, 1],
        card: [],
        node: [
          ...range(4).map((n) => `GPUSubsystemAccelerator${n}Power`),
          ...range(4).flatMap((n) => ['Power', 'Voltage'].map((t) => feed(n, t))),
        ],
        mezz: [0],
        limits: ['NodePowerLimit', ...range(4).map((n) => `Accelerator${n}PowerLimit`)],
      }),
    },
    { kind: 'Slingshot', xname: 'x1000c0r7b0', tree: switchController() },
  ]
}

function feed(accelerator: number, type: string): string {
  return `Accelerator${accelerator}VoltageRegulator0Input${type}`
}

function sockets(count: number): string[] {
  return range(count).flatMap((s) => [
    ...[`CPU${s}0SynthesizedEnergy`, `CPU${s}0SynthesizedPower`, `CPU${s}1SynthesizedPower`],
    ...[`CPU${s}2ReportedPower`, `CPU${s}Temperature`],
  ])
}

/** They tell when they were read, but not what. */
const dimms = range(12).flatMap((d) => [`-CPU0Memory${d}Power`, `-CPU0Memory${d}Temperature`])

const nodeParts = [
  ...['Energy', 'Power', 'Voltage'].map((type) => `ChassisVoltageRegulator0Input${type}`),
  ...['CPU', 'Memory'].flatMap((part) =>
    ['Energy', 'Power'].map((type) => `Chassis${part}Subsystem0Output${type}`),
  ),
]

interface Blade {
  nodes: readonly number[]
  /** Ids of sensors; one that begins with `-` has no reading. */
  card: readonly string[]
  node: readonly string[]
  mezz: readonly number[]
  limits: readonly string[]
}

function nodeController({ nodes, card, node, mezz, limits }: Blade): RedfishTree {
  const shape: Shape = {
    Enclosure: ['ChassisVoltageRegulator0InputPower', 'SystemBoard0Temperature', ...card],
  }
  for (const n of nodes) shape[`Node${n}`] = [...nodeParts, ...node]
  for (const m of mezz) {
    shape[`Mezz${m}`] = [`Board${m}VoltageRegulator0Power`, `Board${m}ASIC0Temperature`]
  }
  const tree = chassisTree(shape)
  const systems = Object.fromEntries(nodes.map((n) => [`Node${n}`, { PowerState: 'On' }]))
  Object.assign(tree, collectionOf('/redfish/v1/Systems', systems))
  if (limits.length > 0) for (const n of nodes) addLimits(tree, `${chassisList}/Node${n}`, limits)
  return tree
}

/** Converters, the 12 V feed, and cable cages of which every third is empty. */
function switchController(): RedfishTree {
  const rails = [1, 2, 3, 4, 5, 7].flatMap((n) =>
    ['Input', 'Output'].map((side) => `ASICVoltageRegulator${n}${side}Power`),
  )
  const cages = range(24).flatMap((n) =>
    ['Temperature', 'Voltage'].map(
      (type) => `${n % 3 === 2 ? '-' : ''}NetworkingDevice${n + 1}${type}`,
    ),
  )
  const own = ['PowerSupplySubsystemVoltageRegulator0InputPower', 'ASIC0Temperature']
  return chassisTree({ Enclosure: [...rails, ...own, ...cages] })
}

let last = 100

function chassisTree(shape: Shape): RedfishTree {
  const tree: RedfishTree = {}
  const chassis: Record<string, unknown> = {}
  for (const [name, ids] of Object.entries(shape)) {
    const path = `${chassisList}/${name}`
    chassis[name] = {
      ...{ Id: name, Manufacturer: 'HPE', Power: link(`${path}/Power`) },
      ...{ Thermal: link(`${path}/Thermal`), Sensors: link(`${path}/Sensors`) },
    }
    const sensors = ids.map((id): [string, Record<string, unknown>] => [
      id.replace('-', ''),
      crayTreeSensor(id),
    ])
    Object.assign(tree, collectionOf(`${path}/Sensors`, Object.fromEntries(sensors)))
    Object.assign(tree, oldCopies(path, sensors))
  }
  return { ...tree, ...collectionOf(chassisList, chassis) }
}

/** A sensor of that id, with a reading that no other has; `-` before the id: without one. */
export function crayTreeSensor(id: string): Record<string, unknown> {
  const Id = id.replace('-', '')
  const type = /(Power|Energy|Voltage|Current|Temperature)$/.exec(Id)?.[1] as keyof typeof units
  const [ReadingType, ReadingUnits] = units[type]
  last += 0.25
  const Reading = id.startsWith('-') ? {} : { Reading: last }
  return {
    ...{ Id, Name: Id, ReadingType, ReadingUnits, ...Reading },
    ...{ ReadingTime: '2026-01-01T00:00:00.123456789Z', Oem: { Index: 0 } },
  }
}

/** What has no reading is there with its upper threshold instead. */
function oldCopies(path: string, sensors: [string, Record<string, unknown>][]): RedfishTree {
  const of = (type: string, field: string) =>
    sensors
      .filter(([, sensor]) => sensor['ReadingType'] === type)
      .map(([Name, { Reading = 85 }]) => ({
        ...{ Name: `${Name} ${type}`, [field]: Reading, UpperThresholdNonCritical: 85 },
      }))
  return {
    [`${path}/Power`]: { Voltages: of('Voltage', 'ReadingVolts') },
    [`${path}/Thermal`]: { Temperatures: of('Temperature', 'ReadingCelsius') },
  }
}

function addLimits(tree: RedfishTree, path: string, limits: readonly string[]): void {
  const chassis = tree[path] as Record<string, unknown>
  chassis['Controls'] = link(`${path}/Controls`)
  const bodies = limits.map((Id, at): [string, object] => {
    last += 1
    const watts = { SetPoint: last, SettingRangeMin: 1000 + last, SettingRangeMax: 2000 + last }
    const copy = { Reading: 50 + at, DataSourceUri: `${path}/Sensors/${Id}` }
    const Hpe = { PowerIdleWatts: '0', PowerLimitFactor: '1' }
    return [
      Id,
      { Id, ControlType: 'Power', ControlMode: 'Automatic', ...watts, Sensor: copy, Oem: { Hpe } },
    ]
  })
  Object.assign(tree, collectionOf(`${path}/Controls`, Object.fromEntries(bodies)))
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index)
}
