import { type Kind, units } from './made-up-units.ts'
import type { Tree } from './mutations.ts'
import { link } from './redfish.ts'

type Body = Record<string, unknown>
/** From 0 up to 1. */
type Random = () => number

/** One thing measured, in the unit of its kind. No two have the same value. */
interface Measure {
  kind: Kind
  value: number
}

/**
 * A server of the standard schemas, as no one made it: chassis, sensors, supplies, fans, limits,
 * processors, each there or not, told once or several times, by one schema or two, with faults.
 * `truth` has the same readings as plain numbers in the units of the schemas, and null for those
 * that are no readings.
 */
export function madeUpServer(random: Random): { device: Tree; truth: Tree } {
  const maker = new Maker(random)
  const chassis = maker.ids(1, 3).map((id) => `/redfish/v1/Chassis/${id}`)
  maker.put('/redfish/v1/Chassis', { Members: chassis.map(link) })
  for (const path of chassis) madeUpChassis(path, maker)
  madeUpSystems(maker)
  return { device: maker.device, truth: maker.truth }
}

class Maker {
  readonly device: Tree = new Map()
  readonly truth: Tree = new Map()
  readonly #random: Random
  #count = 0

  constructor(random: Random) {
    this.#random = random
  }

  get maybe(): boolean {
    return this.#random() < 0.5
  }

  one<T>(...of: T[]): T {
    return of[Math.floor(this.#random() * of.length)] as T
  }

  ids(min: number, max: number): string[] {
    const count = min + Math.floor(this.#random() * (max - min + 1))
    return Array.from({ length: count }, () => {
      const end = this.#random().toString(36).slice(2, 7)
      return `${this.one('GPU', 'Tray_', 'a.', 'Power', 'Fan-', '0')}${end}${this.#count++}`
    })
  }

  name(word: string): string {
    return `${word} ${this.#count++}`
  }

  measure(kind: Kind): Measure {
    const n = this.#count++
    return { kind, value: kind === '%' ? 1 + n / 64 : 40 + n / 64 }
  }

  /** The resource with its `Value`s as the device writes them, and as they are. */
  put(path: string, body: Body): void {
    this.device.set(
      path,
      written(body, (value) => value.device),
    )
    this.truth.set(
      path,
      written(body, (value) => value.truth),
    )
  }

  /** A value of a property: mostly a number, else text, null or a word. */
  value({ value }: Measure): Value {
    const fault = this.one('none', 'none', 'none', 'text', 'null', 'word')
    if (fault === 'none') return new Value(value, value)
    if (fault === 'text') return new Value(String(value), value)
    return new Value(fault === 'null' ? null : 'N/A', null)
  }

  excerpt(measure: Measure, more: Body = {}): Body {
    return { Reading: this.value(measure), ...more }
  }
}

class Value {
  readonly device: unknown
  readonly truth: unknown

  constructor(device: unknown, truth: unknown) {
    this.device = device
    this.truth = truth
  }
}

function written(body: unknown, of: (value: Value) => unknown): unknown {
  if (body instanceof Value) return of(body)
  if (Array.isArray(body)) return body.map((each) => written(each, of))
  if (typeof body !== 'object' || body === null) return body
  return Object.fromEntries(Object.entries(body).map(([name, each]) => [name, written(each, of)]))
}

function madeUpChassis(path: string, maker: Maker): void {
  const chassis: Body = { '@odata.id': path, Manufacturer: maker.one('Acme', 'Contoso') }
  const has = (name: string) => {
    chassis[name] = link(`${path}/${name}`)
    return `${path}/${name}`
  }
  const sensors = maker.maybe ? madeUpSensors(has('Sensors'), maker) : []
  const shared = sharedOf(maker)
  if (maker.maybe) madeUpPower(has('Power'), { maker, shared, sensors })
  if (maker.maybe) madeUpThermal(has('Thermal'), { maker, shared, sensors })
  if (maker.maybe) madeUpEnvironment(has('EnvironmentMetrics'), { maker, shared, sensors })
  if (maker.maybe) madeUpPowerSubsystem(has('PowerSubsystem'), { maker, shared, sensors })
  if (maker.maybe) madeUpThermalSubsystem(has('ThermalSubsystem'), { maker, shared, sensors })
  if (maker.maybe) madeUpControls(has('Controls'), maker)
  maker.put(path, chassis)
}

/** What two schemas of one chassis tell of. */
interface Shared {
  power: Measure
  limit: Measure
  fans: { name: string; speed: Measure }[]
  supplies: { id: string; serial: string; input: Measure; output: Measure; volts: Measure }[]
}

interface Parts {
  maker: Maker
  shared: Shared
  sensors: MadeUpSensor[]
}

function sharedOf(maker: Maker): Shared {
  return {
    power: maker.measure('W'),
    limit: maker.measure('W'),
    fans: maker.ids(0, 3).map(() => ({ name: maker.name('Fan'), speed: maker.measure('%') })),
    supplies: maker.ids(0, 2).map((id) => ({
      id,
      serial: maker.name('serial'),
      input: maker.measure('W'),
      output: maker.measure('W'),
      volts: maker.measure('V'),
    })),
  }
}

interface MadeUpSensor {
  path: string
  name: string
  measure: Measure
  /** Whether it has a value: its copies have one then too. */
  isFine: boolean
}

function madeUpSensors(list: string, maker: Maker): MadeUpSensor[] {
  const sensors = maker.ids(0, 8).map((id): MadeUpSensor => {
    const measure = maker.measure(maker.one('W', 'J', 'V', 'A', 'Cel', 'kPa', '%', 'RPM'))
    const name = maker.name(maker.one('Inlet', 'CPU', 'VRM', 'Riser'))
    const state = maker.one('fine', 'fine', 'text', 'null', 'missing', 'absent', 'never')
    const [unit, type, size] = maker.one(...units[measure.kind])
    const isFine = state === 'fine' || state === 'text'
    const number = measure.value / size
    const none = { null: null, missing: undefined, absent: 0, never: 0 }
    const told = isFine ? (state === 'text' ? String(number) : number) : none[state]
    maker.put(`${list}/${id}`, {
      Id: id,
      Name: name,
      Reading: new Value(told, isFine ? measure.value : null),
      ReadingUnits: new Value(unit === '' ? undefined : unit, measure.kind),
      ...(type !== '' && { ReadingType: new Value(type, undefined) }),
      ...(state === 'absent' && { Status: { State: 'Absent' } }),
      ...(state === 'never' && { ReadingTime: '1970-01-01T00:00:00Z' }),
    })
    return { path: `${list}/${id}`, name, measure, isFine }
  })
  maker.put(list, { Members: sensors.map(({ path }) => link(path)) })
  return sensors
}

/** A copy of a sensor of the kind, or an excerpt that stands for itself. */
function someExcerpt({ maker, sensors }: Parts, kind: Kind, more: Body = {}): Body {
  const alike = sensors.filter(({ measure }) => measure.kind === kind)
  const [first] = alike
  if (first === undefined || maker.maybe) return maker.excerpt(maker.measure(kind), more)
  const { path, measure, isFine } = maker.one(first, ...alike)
  return { DataSourceUri: path, Reading: isFine ? measure.value : null, ...more }
}

function madeUpPower(path: string, parts: Parts): void {
  const { maker, shared } = parts
  const window = maker.measure('W')
  maker.put(path, {
    PowerControl: [
      {
        MemberId: '0',
        PowerConsumedWatts: maker.value(shared.power),
        PowerCapacityWatts: 9999,
        PowerLimit: { LimitInWatts: maker.value(shared.limit) },
        PowerMetrics: { IntervalInMin: 5, AverageConsumedWatts: maker.value(window) },
      },
    ],
    Voltages: oldMembers(parts, 'V', (measure) => ({ ReadingVolts: maker.value(measure) })),
    PowerSupplies: shared.supplies.map(({ id, serial, input, output, volts }) => ({
      MemberId: id,
      SerialNumber: serial,
      PowerInputWatts: maker.value(input),
      LastPowerOutputWatts: maker.value(output),
      LineInputVoltage: maker.value(volts),
    })),
  })
}

function madeUpThermal(path: string, parts: Parts): void {
  const { maker, shared } = parts
  maker.put(path, {
    Temperatures: oldMembers(parts, 'Cel', (measure) => ({ ReadingCelsius: maker.value(measure) })),
    Fans: shared.fans.map(({ name, speed }) => ({
      Name: name,
      Reading: maker.value(speed),
      ReadingUnits: 'Percent',
    })),
  })
}

/** Members of an older list: twins of sensors, members of its own, and some that are not fitted. */
function oldMembers(
  { maker, sensors }: Parts,
  kind: Kind,
  reading: (measure: Measure) => Body,
): Body[] {
  const twins = sensors.filter(({ measure, isFine }) => measure.kind === kind && isFine)
  const shown = twins.filter(() => maker.maybe)
  const own = maker.ids(0, 2).map((id) => ({ id, name: maker.name(maker.one('DIMM', 'PCH')) }))
  return [
    ...shown.map(({ name, measure }) => ({ Name: name, ...reading(measure) })),
    ...own.map(({ id, name }) => ({
      MemberId: id,
      ...(maker.maybe && { Name: name }),
      ...reading(maker.measure(kind)),
      ...(maker.one(true, false, false) && { Status: { State: 'Absent' } }),
    })),
  ]
}

function madeUpEnvironment(path: string, parts: Parts): void {
  const { maker, shared } = parts
  const joules = maker.measure('J')
  maker.put(path, {
    ...(maker.maybe && { PowerWatts: maker.excerpt(shared.power) }),
    ...(maker.maybe && { EnergyJoules: maker.excerpt(joules) }),
    ...(maker.maybe && { EnergykWh: { Reading: joules.value / 3.6e6 } }),
    ...(maker.maybe && { TemperatureCelsius: someExcerpt(parts, 'Cel') }),
    ...(maker.maybe && { HumidityPercent: someExcerpt(parts, '%') }),
    ...(maker.maybe && { CurrentAmps: someExcerpt(parts, 'A') }),
    ...(maker.maybe && { Voltage: someExcerpt(parts, 'V') }),
    ...(maker.maybe && { PowerLimitWatts: { SetPoint: maker.value(shared.limit) } }),
  })
}

function madeUpPowerSubsystem(path: string, parts: Parts): void {
  const { maker, shared } = parts
  const supplies = shared.supplies.map((each) => ({
    ...each,
    path: `${path}/PowerSupplies/${each.id}`,
  }))
  const batteries = maker.ids(0, 2).map((id) => `${path}/Batteries/${id}`)
  maker.put(path, {
    PowerSupplies: link(`${path}/PowerSupplies`),
    Batteries: link(`${path}/Batteries`),
    CapacityWatts: 5000,
  })
  maker.put(`${path}/PowerSupplies`, { Members: supplies.map((each) => link(each.path)) })
  maker.put(`${path}/Batteries`, { Members: batteries.map(link) })
  for (const { path: supply, serial, input, output, volts } of supplies) {
    maker.put(supply, { SerialNumber: serial, Metrics: link(`${supply}/Metrics`) })
    maker.put(`${supply}/Metrics`, {
      ...(maker.maybe && { InputPowerWatts: maker.excerpt(input) }),
      ...(maker.maybe && { OutputPowerWatts: maker.excerpt(output) }),
      ...(maker.maybe && { InputVoltage: maker.excerpt(volts) }),
      ...(maker.maybe && { InputCurrentAmps: someExcerpt(parts, 'A') }),
      ...(maker.maybe && { TemperatureCelsius: someExcerpt(parts, 'Cel') }),
      ...(maker.maybe && { FanSpeedPercent: someExcerpt(parts, '%') }),
      RailVoltage: [maker.excerpt(maker.measure('V')), someExcerpt(parts, 'V')],
      RailCurrentAmps: [maker.excerpt(maker.measure('A'), { DeviceName: 'Rail 0' })],
    })
  }
  for (const battery of batteries) {
    maker.put(battery, { Metrics: link(`${battery}/Metrics`), CapacityRatedWattHours: 99 })
    maker.put(`${battery}/Metrics`, {
      InputVoltage: someExcerpt(parts, 'V'),
      OutputVoltages: [maker.excerpt(maker.measure('V'))],
      TemperatureCelsius: someExcerpt(parts, 'Cel'),
    })
  }
}

function madeUpThermalSubsystem(path: string, parts: Parts): void {
  const { maker, shared } = parts
  const fans = shared.fans.map((fan, index) => ({ ...fan, path: `${path}/Fans/F${index}` }))
  const connectors = maker.ids(0, 2).map((id) => `${path}/CoolantConnectors/${id}`)
  maker.put(path, {
    Fans: link(`${path}/Fans`),
    ThermalMetrics: link(`${path}/ThermalMetrics`),
    CoolantConnectors: link(`${path}/CoolantConnectors`),
  })
  maker.put(`${path}/Fans`, { Members: fans.map((fan) => link(fan.path)) })
  maker.put(`${path}/CoolantConnectors`, { Members: connectors.map(link) })
  for (const { path: fan, name, speed } of fans) {
    const SpeedRPM = maker.value(maker.measure('RPM'))
    const SpeedPercent = { Reading: speed.value, ...(maker.maybe && { SpeedRPM }) }
    maker.put(fan, { Name: name, SpeedPercent })
  }
  maker.put(`${path}/ThermalMetrics`, {
    TemperatureReadingsCelsius: [
      someExcerpt(parts, 'Cel', { DeviceName: 'Board' }),
      someExcerpt(parts, 'Cel', { DeviceName: 'Board' }),
    ],
    TemperatureSummaryCelsius: { Intake: someExcerpt(parts, 'Cel'), Exhaust: null },
    DeltaPressurekPa: someExcerpt(parts, 'kPa'),
  })
  for (const connector of connectors) {
    maker.put(connector, {
      SupplyTemperatureCelsius: someExcerpt(parts, 'Cel'),
      ReturnTemperatureCelsius: someExcerpt(parts, 'Cel'),
      SupplyPressurekPa: someExcerpt(parts, 'kPa'),
      RatedFlowLitersPerMinute: 30,
    })
  }
}

function madeUpControls(list: string, maker: Maker): void {
  const ids = maker.ids(0, 2)
  maker.put(list, { Members: ids.map((id) => link(`${list}/${id}`)) })
  for (const id of ids) {
    maker.put(`${list}/${id}`, {
      Id: id,
      ControlType: 'Power',
      SetPoint: maker.value(maker.measure('W')),
      SettingRangeMin: maker.value(maker.measure('W')),
      SettingRangeMax: maker.value(maker.measure('W')),
    })
  }
}

function madeUpSystems(maker: Maker): void {
  const systems = maker.ids(0, 2).map((id) => `/redfish/v1/Systems/${id}`)
  maker.put('/redfish/v1/Systems', { Members: systems.map(link) })
  for (const system of systems) {
    maker.put(system, {
      PowerState: 'On',
      Processors: link(`${system}/Processors`),
      Memory: link(`${system}/Memory`),
    })
    for (const list of ['Processors', 'Memory']) {
      const members = maker.ids(0, 3).map((id) => `${system}/${list}/${id}`)
      maker.put(`${system}/${list}`, { Members: members.map(link) })
      for (const member of members) madeUpMember(member, maker)
    }
  }
}

function madeUpMember(path: string, maker: Maker): void {
  const parts = { maker, sensors: [], shared: sharedOf(maker) }
  maker.put(path, { EnvironmentMetrics: link(`${path}/EnvironmentMetrics`), TDPWatts: 400 })
  maker.put(`${path}/EnvironmentMetrics`, {
    PowerWatts: someExcerpt(parts, 'W'),
    ...(maker.maybe && { EnergyJoules: someExcerpt(parts, 'J') }),
    ...(maker.maybe && { TemperatureCelsius: someExcerpt(parts, 'Cel') }),
    ...(maker.maybe && { PowerLimitWatts: { SetPoint: maker.value(maker.measure('W')) } }),
  })
}
