import { textAt } from '../../redfish/parse.ts'
import type { Seconds } from '../load.ts'
import { outletsPerPdu, type Plant } from '../physics.ts'
import { hash01 } from '../random.ts'
import { type Resources, round, type SimulatedDevice, type Write } from '../resources.ts'
import { pdus } from '../system.ts'

/** An outlet's place: 6 branches of two outlets, on the three phases in turn. */
interface Outlet {
  number: number
  branch: number
  phase: number
  /** What its counter stood at when the simulation began, Wh. */
  startWattHours: number
  /** What its counter stands at while it is off. */
  offWattHours: number | undefined
}

interface Electric {
  watts: number
  /** Zero without load. */
  factor: number
  voltAmperes: number
  amperes: number
  volts: number
}

const normal = { status: 'Normal' }
const lines = [1, 2, 3]
/** `L1-L2`, `L2-L3`, `L3-L1`. */
const phaseName = (phase: number) => `L${phase}-L${(phase % 3) + 1}`

/**
 * An iPDU of ServerTech that speaks JAWS: one unit with 12 outlets and two probe sockets. Sums of
 * phases, lines and branches agree with the outlets, as exactly as rounding allows.
 */
export function jawsPdu(xname: string, plant: Plant): SimulatedDevice {
  const resources: Resources = new Map()
  const pdu = pduOf(xname, plant)
  const unit = { id: 'A', name: 'Master' }
  const probes = xname === pdus[0] ? 2 : 1
  addList(resources, 'monitor/outlets', (at) =>
    pdu.outlets.map((outlet) => outletOf(pdu, outlet, at)),
  )
  addList(resources, 'monitor/phases', (at) => lines.map((phase) => phaseOf(pdu, phase, at)))
  addList(resources, 'monitor/lines', (at) => lines.map((line) => lineOf(pdu, line, at)))
  addList(resources, 'monitor/branches', (at) =>
    [1, 2, 3, 4, 5, 6].map((branch) => branchOf(pdu, branch, at)),
  )
  addList(resources, 'monitor/sensors/temp', (at) =>
    [1, 2].map((probe) => temperatureOf(probe, probe <= probes, plant.intakeCelsius(at))),
  )
  addList(resources, 'monitor/sensors/humidity', (at) =>
    [1, 2].map((probe) => humidityOf(probe, probe <= probes, plant.intakeCelsius(at))),
  )
  addList(resources, 'monitor/units', () => [{ ...unit, ...normal, type: 'Master' }])
  addList(resources, 'config/info/units', () => [
    {
      ...unit,
      manufacture_date: '2019-01-14',
      model_number: 'C2WG12TE-DQME2M66',
      product_serial_number: `SIM${xname.toUpperCase()}`,
      type: 'Master',
    },
  ])
  const writes = new Map(pdu.outlets.map((outlet) => outletSwitch(pdu, outlet)))
  return { xname, kind: 'jaws', resources, resets: new Map(), writes, headers: jawsHeaders }
}

/** `PATCH /jaws/control/outlets/AA1`; answered 204, and 400 for an action that there is not. */
function outletSwitch(pdu: Pdu, outlet: Outlet): [string, Write] {
  const answer: Write['answer'] = (body, context) => {
    const wanted = textAt(body, 'control_action')
    if (wanted !== 'on' && wanted !== 'off') return { status: 400 }
    const stood = pdu.wattHours(outlet, context.asOf())
    outlet.offWattHours = wanted === 'off' ? stood : undefined
    // What the load drew meanwhile did not come through here.
    if (wanted === 'on') outlet.startWattHours += stood - pdu.wattHours(outlet, context.asOf())
    return { status: 204 }
  }
  return [`/jaws/control/outlets/AA${outlet.number}`, { method: 'PATCH', answer }]
}

/** These PDUs end the connection after each answer. */
const jawsHeaders = { Server: 'ServerTech-AWS/v8.0v', Pragma: 'JAWS v1.01', Connection: 'close' }

interface Pdu {
  outlets: readonly Outlet[]
  watts(outlet: Outlet, at: Seconds): number
  wattHours(outlet: Outlet, at: Seconds): number
}

function pduOf(xname: string, plant: Plant): Pdu {
  const seed = xname.charCodeAt(xname.length - 1)
  const { epoch } = plant.timeline
  const load = (outlet: Outlet) => plant.outlet(xname, outlet.number)
  return {
    outlets: Array.from({ length: outletsPerPdu }, (_, index) => ({
      number: index + 1,
      branch: (index % 3) + (index < outletsPerPdu / 2 ? 1 : 4),
      phase: (index % 3) + 1,
      startWattHours: index < 3 ? Math.floor(9e5 * hash01(seed, index)) : 0,
      offWattHours: undefined,
    })),
    watts: (outlet, at) => (outlet.offWattHours === undefined ? load(outlet).watts(at - epoch) : 0),
    wattHours: (outlet, at) =>
      outlet.offWattHours ?? outlet.startWattHours + load(outlet).joules(at - epoch) / 3600,
  }
}

/** Adds a list, and each of its elements under its id; which those are does not change. */
function addList(
  resources: Resources,
  name: string,
  list: (at: Seconds) => readonly { id: string }[],
): void {
  const path = `/jaws/${name}`
  resources.set(path, list)
  for (const { id } of list(0)) {
    resources.set(`${path}/${id}`, (at) => list(at).find((element) => element.id === id))
  }
}

/** The power factor of a supply rises with its load. */
function electric(watts: number, phase: number): Electric {
  const volts = 208 + 0.3 * (phase - 1)
  const factor = watts > 0 ? 0.97 - 4 / (watts + 20) : 0
  const voltAmperes = watts > 0 ? watts / factor : 0
  return { watts, factor, voltAmperes, amperes: voltAmperes / volts, volts }
}

function electricOf(pdu: Pdu, outlet: Outlet, at: Seconds): Electric {
  return electric(pdu.watts(outlet, at), outlet.phase)
}

function outletOf(pdu: Pdu, outlet: Outlet, at: Seconds) {
  const { watts, factor, voltAmperes, amperes, volts } = electricOf(pdu, outlet, at)
  const loaded = { crest_factor: 1.6, power_factor: round(factor, 2), reactance: 'Capacitive' }
  return {
    id: `AA${outlet.number}`,
    name: `Master_Outlet_${outlet.number}`,
    active_power: round(watts),
    active_power_status: 'Normal',
    apparent_power: round(voltAmperes),
    branch_id: `AA${outlet.branch}`,
    control_state: outlet.offWattHours === undefined ? 'Idle On' : 'Idle Off',
    ...(watts > 0 ? loaded : {}),
    current: round(amperes, 2),
    current_capacity: 15,
    current_status: 'Normal',
    current_utilized: round((100 * amperes) / 15, 1),
    energy: Math.floor(pdu.wattHours(outlet, at)),
    ocp_id: `AA${outlet.branch}`,
    phase_id: `AA${outlet.phase}`,
    power_capacity: 3120,
    power_factor_status: 'Normal',
    socket_adapter: 'None',
    socket_type: 'C13',
    state: outlet.offWattHours === undefined ? 'On' : 'Off',
    ...normal,
    voltage: round(volts, 1),
  }
}

function phaseOf(pdu: Pdu, phase: number, at: Seconds) {
  const outlets = pdu.outlets.filter((outlet) => outlet.phase === phase)
  const all = outlets.map((outlet) => electricOf(pdu, outlet, at))
  const watts = sum(all, (outlet) => outlet.watts)
  const voltAmperes = sum(all, (outlet) => outlet.voltAmperes)
  const volts = electric(0, phase).volts
  return {
    id: `AA${phase}`,
    name: `AA:${phaseName(phase)}`,
    active_power: round(watts),
    apparent_power: round(voltAmperes),
    crest_factor: 1.6,
    current: round(voltAmperes / volts, 2),
    energy: round(sum(outlets, (outlet) => pdu.wattHours(outlet, at)) / 1000, 1),
    nominal_voltage: 208,
    power_factor: round(voltAmperes > 0 ? watts / voltAmperes : 1, 2),
    power_factor_status: 'Normal',
    reactance: 'Capacitive',
    state: 'On',
    ...normal,
    voltage: round(volts, 1),
    voltage_status: 'Normal',
    voltage_deviation: round((100 * (volts - 208)) / 208, 1),
  }
}

/** A line feeds two phases, whose currents are 60 degrees apart in it. */
function lineOf(pdu: Pdu, line: number, at: Seconds) {
  const amperes = (phase: number) =>
    sum(
      pdu.outlets.filter((outlet) => outlet.phase === phase),
      (outlet) => electricOf(pdu, outlet, at).amperes,
    )
  const [a, b] = [amperes(line), amperes(line === 1 ? 3 : line - 1)]
  const current = Math.sqrt(a * a + b * b + a * b)
  return { id: `AA${line}`, name: `AA:L${line}`, ...currentOf(current, 60) }
}

function branchOf(pdu: Pdu, branch: number, at: Seconds) {
  const outlets = pdu.outlets.filter((outlet) => outlet.branch === branch)
  const current = sum(outlets, (outlet) => electricOf(pdu, outlet, at).amperes)
  const phase = ((branch - 1) % 3) + 1
  return {
    id: `AA${branch}`,
    name: `AA:${phaseName(phase)}-BR${branch}`,
    ...currentOf(current, 20),
    ocp_id: `AA${branch}`,
    phase_id: `AA${phase}`,
  }
}

function currentOf(amperes: number, capacity: number): object {
  return {
    current: round(amperes, 2),
    current_capacity: capacity,
    current_status: 'Normal',
    current_utilized: round((100 * amperes) / capacity, 1),
    state: 'On',
    ...normal,
  }
}

/** The second probe hangs at the back of the rack, in warmer and so drier air. */
function temperatureOf(probe: number, fitted: boolean, intakeCelsius: number) {
  const id = { id: `A${probe}`, name: `Temp_Sensor_A${probe}` }
  if (!fitted) return { ...id, status: 'Not Found' }
  return { ...id, ...normal, temperature_celsius: round(intakeCelsius + 9 * (probe - 1), 1) }
}

function humidityOf(probe: number, fitted: boolean, intakeCelsius: number) {
  const id = { id: `A${probe}`, name: `Humid_Sensor_A${probe}` }
  if (!fitted) return { ...id, status: 'Not Found' }
  const percent = 52 - 1.8 * (intakeCelsius - 20) - 18 * (probe - 1)
  return { ...id, relative_humidity: round(percent), ...normal }
}

function sum<T>(things: readonly T[], amount: (thing: T) => number): number {
  return things.reduce((total, thing) => total + amount(thing), 0)
}
