import type { Seconds } from '../load.ts'
import type { Plant } from '../physics.ts'
import { hash01 } from '../random.ts'
import type { Sensor } from '../sensor.ts'
import type { Machine } from '../system.ts'
import type { Track } from '../track.ts'

/** The sensors of a node: its feed, its CPU and memory domains, its accelerators. */
export function nodeSensors(plant: Plant, machine: Machine, track: Track): Sensor[] {
  const start = startOfCounter(machine)
  const sockets = machine.model.accelerators > 0 ? 1 : 2
  return [
    ...feedSensors(plant, track, start),
    ...domainSensors(track, start),
    ...range(sockets).flatMap((socket) => socketSensors(plant, track, socket, sockets)),
    ...range(machine.model.accelerators).flatMap((index) =>
      acceleratorSensors(plant, track, index),
    ),
    ...neverRead,
  ]
}

/** What the node's counter stood at when the simulation began: up to 1.2 GJ. */
function startOfCounter({ xname }: Machine): number {
  const letters = [...xname].map((letter) => letter.charCodeAt(0))
  return Math.floor(1e7 + 1.2e9 * hash01(...letters))
}

function feedSensors(plant: Plant, track: Track, start: number): Sensor[] {
  const feed = { parent: 'Chassis', context: 'VoltageRegulator', index: 0, designator: 'J7000' }
  const node = { name: 'Node', parent: 'Chassis', context: 'VoltageRegulator', index: 0 }
  const converter = { ...feed, name: 'PDB SIVOC48' }
  const watts = (at: Seconds) => track.wattsAt(at).node
  return [
    { ...node, type: 'Energy', side: 'Input', read: (at) => start + track.joulesAt(at).node },
    { ...node, type: 'Power', side: 'Input', read: watts },
    { ...converter, type: 'Voltage', side: 'Input', digits: 1, read: () => 382.8 },
    { ...converter, type: 'Voltage', side: 'Output', digits: 2, read: () => 48.1 },
    { ...converter, type: 'Current', side: 'Output', read: (at) => (watts(at) * 0.96) / 48.1 },
    { ...converter, type: 'Power', side: 'Output', read: (at) => watts(at) * 0.96 },
    {
      ...converter,
      type: 'Temperature',
      upper: [95, 100, 110],
      read: (at) => plant.coolant(at).supplyCelsius + 8 + watts(at) / 90,
    },
  ]
}

/** The parts count from a tenth of where the node's counter started. */
function domainSensors(track: Track, start: number): Sensor[] {
  const cpu = { name: 'Aggregate CPU', parent: 'Chassis', context: 'CPUSubsystem', index: 0 }
  const memory = {
    name: 'Aggregate Memory',
    parent: 'Chassis',
    context: 'MemorySubsystem',
    index: 0,
  }
  const side = 'Output'
  return [
    { ...cpu, side, type: 'Energy', read: (at) => start / 10 + track.joulesAt(at).cpu },
    { ...cpu, side, type: 'Power', read: (at) => track.wattsAt(at).cpu },
    { ...memory, side, type: 'Energy', read: (at) => start / 10 + track.joulesAt(at).memory },
    { ...memory, side, type: 'Power', read: (at) => track.wattsAt(at).memory },
  ]
}

function socketSensors(plant: Plant, track: Track, socket: number, sockets: number): Sensor[] {
  const name = `CPU${socket}`
  const of = { parent: 'CPU', parentIndex: socket }
  const cpu = (at: Seconds) => track.wattsAt(at).cpu / sockets
  const memory = (at: Seconds) => track.wattsAt(at).memory / sockets
  const vcore = { ...of, name: `${name} VCORE`, context: 'VoltageRegulator', index: 4 }
  const rise = sockets === 1 ? 0.2 : 0.13
  const celsius = (at: Seconds) => plant.coolant(at).supplyCelsius + 7 + socket + rise * cpu(at)
  return [
    { ...of, name: `${name} Aggregate`, index: 0, line: 'Synthesized', type: 'Power', read: cpu },
    {
      ...of,
      name: `${name} Aggregate Memory`,
      index: 1,
      line: 'Synthesized',
      type: 'Power',
      read: memory,
    },
    {
      ...of,
      name: `${name} Package`,
      index: 2,
      line: 'Reported',
      type: 'Power',
      digits: 3,
      read: (at) => 1.08 * cpu(at),
    },
    { name, context: 'CPU', index: socket, type: 'Temperature', digits: 2, read: celsius },
    { ...vcore, type: 'Voltage', side: 'Output', read: () => 1.062 },
    {
      ...vcore,
      type: 'Temperature',
      digits: 0,
      upper: [110, 115, 125],
      read: (at) => celsius(at) + 4,
    },
  ]
}

/** Modules of one node differ by a percent or two; the four parts make up the whole. */
function acceleratorSensors(plant: Plant, track: Track, index: number): Sensor[] {
  const part = 0.25 + 0.004 * (index - 1.5)
  const watts = (at: Seconds) => part * track.wattsAt(at).accelerator
  const celsius = (gpu: number) => (at: Seconds) =>
    plant.coolant(at).supplyCelsius + 4 + (gpu % 3) + watts(at) / 14
  return [
    {
      name: `accel${index}`,
      parent: 'GPUSubsystem',
      context: 'Accelerator',
      index,
      type: 'Power',
      read: watts,
    },
    {
      name: `PDB INRUSH ACCEL${index}`,
      parent: 'Accelerator',
      parentIndex: index,
      context: 'VoltageRegulator',
      index: 0,
      side: 'Input',
      type: 'Power',
      digits: 3,
      read: (at) => 1.04 * watts(at),
    },
    ...[2 * index, 2 * index + 1].map(
      (gpu): Sensor => ({
        name: `gpu${gpu}`,
        parent: 'GPUSubsystem',
        context: 'GPU',
        index: gpu,
        type: 'Temperature',
        digits: 0,
        read: celsius(gpu),
      }),
    ),
  ]
}

const neverRead: readonly Sensor[] = [
  {
    name: '48-12V TMP ADC',
    parent: 'Chassis',
    context: 'VoltageRegulator',
    index: 2,
    designator: 'J6013',
    type: 'Temperature',
  },
  {
    name: 'IVOC48 IIN ADC',
    parent: 'Chassis',
    context: 'VoltageRegulator',
    index: 1,
    side: 'Input',
    designator: 'J6000',
    type: 'Current',
  },
]

/** The node card: the controller's own 12 V feed and the air about it. */
export function cardSensors(plant: Plant, slot: number): Sensor[] {
  const ecb = {
    name: '12V_HSS ECB',
    parent: 'Chassis',
    context: 'VoltageRegulator',
    index: 0,
    designator: 'U4',
  }
  const watts = (at: Seconds) => plant.cardWatts(slot, at)
  const celsius = (above: number) => (at: Seconds) => plant.coolant(at).supplyCelsius + above
  return [
    { ...ecb, type: 'Power', side: 'Input', read: watts },
    { ...ecb, type: 'Voltage', side: 'Input', read: () => 12.188 },
    { ...ecb, type: 'Current', side: 'Output', digits: 4, read: (at) => watts(at) / 12.188 },
    { ...ecb, type: 'Temperature', digits: 0, read: celsius(8) },
    {
      name: 'NC TEMP SENSOR ambient',
      context: 'Chassis',
      index: 0,
      type: 'Temperature',
      digits: 0,
      upper: [70, 75, 80],
      read: celsius(9),
    },
    {
      name: 'NC TEMP SENSOR controller',
      parent: 'Chassis',
      context: 'SystemBoard',
      index: 0,
      type: 'Temperature',
      digits: 0,
      upper: [85, 90, 105],
      read: celsius(12),
    },
  ]
}

/** A network card with two ports; its power is part of the nodes'. */
export function mezzSensors(plant: Plant): Sensor[] {
  const of = { parent: 'Board', parentIndex: 0 }
  const regulator = { ...of, context: 'VoltageRegulator', index: 0 }
  const warm = (above: number) => (at: Seconds) => plant.coolant(at).supplyCelsius + above
  return [
    { ...regulator, name: '0.85V S0 Power', type: 'Power', read: () => 15 },
    { ...regulator, name: '0.85V S0', type: 'Voltage', read: () => 0.87 },
    { ...regulator, name: '0.85V S0 Current', type: 'Current', digits: 1, read: () => 17.2 },
    ...[0, 1].map(
      (index): Sensor => ({
        ...of,
        name: `Cassini ${index} Temperature`,
        context: 'ASIC',
        index,
        type: 'Temperature',
        digits: 0,
        upper: [95, 100, 110],
        read: warm(24 + index),
      }),
    ),
  ]
}

function range(length: number): number[] {
  return Array.from({ length }, (_, index) => index)
}
