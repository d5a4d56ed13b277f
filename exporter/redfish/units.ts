import { fieldAt, numberAt, textAt } from './parse.ts'

/** `fan` is a share of full speed, `rotation` turns a minute, `ratio` a share of anything else. */
export type Quantity =
  | 'power'
  | 'energy'
  | 'voltage'
  | 'current'
  | 'temperature'
  | 'pressure'
  | 'humidity'
  | 'fan'
  | 'rotation'
  | 'ratio'

export interface Unit {
  quantity: Quantity
  /** What makes a value base units: W, J, V, A, degrees Celsius, Pa, turns a minute, or 1. */
  factor: number
  /** What base units are at the unit's 0: of the scales of temperature that begin elsewhere. */
  zero?: number
}

/**
 * What a Redfish Sensor measures, by its unit (UCUM, and what devices write instead), else by its
 * reading type. A percentage is told by the reading type, and a fan's by its place or name.
 */
export function unitOf(sensor: unknown): Unit | undefined {
  const units = textAt(sensor, 'ReadingUnits')
  if (units !== undefined && others.has(units.toLowerCase())) return undefined
  const named = unitNamed(units)
  const typed = readingTypes.get((textAt(sensor, 'ReadingType') ?? '').toLowerCase())
  const unit = named ?? typed
  if (unit?.quantity !== 'ratio') return unit
  if (typed?.quantity === 'humidity') return typed
  if (typed?.quantity === 'rotation') return { ...unit, quantity: 'fan' }
  const names = ['PhysicalContext', 'Name', 'Id'].map((name) => textAt(sensor, name)).join(' ')
  if (/humid/i.test(names)) return { ...unit, quantity: 'humidity' }
  return /fan|blower|pump/i.test(names) ? { ...unit, quantity: 'fan' } : unit
}

/** A unit by how it is written; where case tells milli from mega, as it is written. */
export function unitNamed(text: string | undefined): Unit | undefined {
  if (text === undefined) return undefined
  const plain = text.toLowerCase().replace(/^(degrees?|deg|°)(?=.)|[\s-]/g, '')
  return largeUnits.get(text) ?? units.get(plain)
}

/** 57 x 0.01 is 0.5700000000000001, 57 / 100 is not. */
export function inBaseUnits(value: number, factor: number): number {
  const inverse = Math.round(1 / factor)
  const isFraction = factor < 1 && Math.abs(inverse * factor - 1) < 1e-12
  return isFraction ? value / inverse : value * factor
}

export function fromUnit(value: number, { factor, zero = 0 }: Unit): number {
  return inBaseUnits(value, factor) + zero
}

/** A number, or one written as text (`"23.5"`); `"NaN"` and other words are none. */
export function readingAt(value: unknown, ...path: string[]): number | undefined {
  const found = fieldAt(value, ...path)
  if (typeof found !== 'string') return numberAt(found)
  return decimal.test(found.trim()) ? numberAt(Number(found)) : undefined
}

const decimal = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i

/**
 * What no such thing can have: temperatures under absolute zero or beyond molten metal, and air
 * that holds less than nothing or more than all.
 */
export function isImplausible(quantity: Quantity, value: number): boolean {
  if (quantity === 'temperature') return value < -273.15 || value > 1000
  return quantity === 'humidity' && (value < 0 || value > 1)
}

const power = (factor: number) => ({ quantity: 'power', factor }) as const
const energy = (factor: number) => ({ quantity: 'energy', factor }) as const
const voltage = (factor: number) => ({ quantity: 'voltage', factor }) as const
const current = (factor: number) => ({ quantity: 'current', factor }) as const
const pressure = (factor: number) => ({ quantity: 'pressure', factor }) as const
const celsius = { quantity: 'temperature', factor: 1 } as const
const fahrenheit = { quantity: 'temperature', factor: 5 / 9, zero: -160 / 9 } as const
const kelvin = { quantity: 'temperature', factor: 1, zero: -273.15 } as const
const rotation = { quantity: 'rotation', factor: 1 } as const
const percent = { quantity: 'ratio', factor: 0.01 } as const
const humidity = { quantity: 'humidity', factor: 0.01 } as const

const pascalsPerPsi = 6894.757293168
const pascalsPerMmHg = 133.322387415

/** In lower case. Cray controllers write PSI, ServerTech's translation layer C. */
const units = new Map<string, Unit>([
  ...spelt(power(1), 'w watt watts'),
  ...spelt(power(1000), 'kw kilowatts'),
  ...spelt(power(0.001), 'mw milliwatts'),
  ...spelt(energy(1), 'j joule joules'),
  ...spelt(energy(1000), 'kj kilojoules'),
  ...spelt(energy(0.001), 'mj'),
  ...spelt(energy(3600), 'wh w.h w·h watthours'),
  ...spelt(energy(3.6e6), 'kwh kw.h kw·h kwhr kilowatthours'),
  ...spelt(energy(3.6), 'mwh mw.h'),
  ...spelt(voltage(1), 'v volt volts'),
  ...spelt(voltage(0.001), 'mv millivolts'),
  ...spelt(voltage(1000), 'kv'),
  ...spelt(current(1), 'a amp amps ampere amperes'),
  ...spelt(current(0.001), 'ma milliamps'),
  ...spelt(celsius, 'cel c celsius ℃'),
  ...spelt(fahrenheit, '[degf] f fahrenheit ℉'),
  ...spelt(kelvin, 'k kelvin'),
  ...spelt(pressure(1), 'pa'),
  ...spelt(pressure(100), 'hpa mbar'),
  ...spelt(pressure(1000), 'kpa'),
  ...spelt(pressure(1e6), 'mpa'),
  ...spelt(pressure(1e5), 'bar'),
  ...spelt(pressure(pascalsPerPsi), 'psi [psi] psig psia'),
  ...spelt(pressure(pascalsPerMmHg), 'mm[hg] mmhg'),
  ...spelt(rotation, '{rev}/min rev/min rpm'),
  ...spelt(percent, '% percent'),
  ...spelt(humidity, '%rh'),
])

const largeUnits = new Map<string, Unit>([
  ['MW', power(1e6)],
  ['MJ', energy(1e6)],
  ['MWh', energy(3.6e9)],
  ['MW.h', energy(3.6e9)],
])

/** Of what is none of the quantities, whatever the reading type calls it: no watts are VA. */
const others = new Set(
  'va kva var kvar v.a vah kvah varh kvarh hz khz mhz ghz a.h ah l/min'.split(' '),
)

/** Redfish Sensor schema, `ReadingType`, with the unit that the schema says goes with each. */
const readingTypes = new Map<string, Unit>([
  ...spelt(power(1), 'power'),
  ...spelt(power(1000), 'heat'),
  ...spelt(energy(1), 'energyjoules energy'),
  ...spelt(energy(3.6e6), 'energykwh'),
  ...spelt(energy(3600), 'energywh'),
  ...spelt(voltage(1), 'voltage'),
  ...spelt(current(1), 'current'),
  ...spelt(celsius, 'temperature'),
  ...spelt(pressure(1000), 'pressurekpa'),
  ...spelt(pressure(1), 'pressurepa pressure'),
  ...spelt(pressure(pascalsPerMmHg), 'barometric'),
  ...spelt(humidity, 'humidity'),
  ...spelt(rotation, 'rotational'),
  ...spelt(percent, 'percent'),
])

function spelt<const U extends Unit>(unit: U, names: string): [string, U][] {
  return names.split(' ').map((name) => [name, unit])
}
