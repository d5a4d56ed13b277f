import { textAt } from './parse.ts'

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
}

/**
 * What a Redfish Sensor measures, by its unit (UCUM, and what devices write instead), else by its
 * reading type. A percentage is told by the reading type, and a fan's by its place.
 */
export function unitOf(sensor: unknown): Unit | undefined {
  const named = units[(textAt(sensor, 'ReadingUnits') ?? '').toLowerCase()]
  const typed = readingTypes[textAt(sensor, 'ReadingType') ?? '']
  const unit = named ?? typed
  if (unit?.quantity !== 'ratio') return unit
  if (typed?.quantity === 'humidity') return typed
  return isFan(sensor) ? { ...unit, quantity: 'fan' } : unit
}

/** 57 x 0.01 is 0.5700000000000001, 57 / 100 is not. */
export function inBaseUnits(value: number, factor: number): number {
  return factor < 1 ? value / Math.round(1 / factor) : value * factor
}

function isFan(sensor: unknown): boolean {
  const place = textAt(sensor, 'PhysicalContext') ?? textAt(sensor, 'Name')
  return /fan/i.test(`${place} ${textAt(sensor, 'Id')}`)
}

const pascalsPerPsi = 6894.757293168

/** In lower case. Cray controllers write PSI, ServerTech's translation layer C. */
const units: Record<string, Unit> = {
  w: { quantity: 'power', factor: 1 },
  kw: { quantity: 'power', factor: 1000 },
  j: { quantity: 'energy', factor: 1 },
  kj: { quantity: 'energy', factor: 1000 },
  'kw.h': { quantity: 'energy', factor: 3.6e6 },
  kwh: { quantity: 'energy', factor: 3.6e6 },
  'w.h': { quantity: 'energy', factor: 3600 },
  wh: { quantity: 'energy', factor: 3600 },
  v: { quantity: 'voltage', factor: 1 },
  mv: { quantity: 'voltage', factor: 0.001 },
  a: { quantity: 'current', factor: 1 },
  ma: { quantity: 'current', factor: 0.001 },
  cel: { quantity: 'temperature', factor: 1 },
  c: { quantity: 'temperature', factor: 1 },
  psi: { quantity: 'pressure', factor: pascalsPerPsi },
  '[psi]': { quantity: 'pressure', factor: pascalsPerPsi },
  kpa: { quantity: 'pressure', factor: 1000 },
  pa: { quantity: 'pressure', factor: 1 },
  '{rev}/min': { quantity: 'rotation', factor: 1 },
  rpm: { quantity: 'rotation', factor: 1 },
  '%': { quantity: 'ratio', factor: 0.01 },
}

/** Redfish Sensor schema, `ReadingType`, with the unit that the schema says goes with each. */
const readingTypes: Record<string, Unit> = {
  Power: { quantity: 'power', factor: 1 },
  EnergyJoules: { quantity: 'energy', factor: 1 },
  EnergykWh: { quantity: 'energy', factor: 3.6e6 },
  EnergyWh: { quantity: 'energy', factor: 3600 },
  Voltage: { quantity: 'voltage', factor: 1 },
  Current: { quantity: 'current', factor: 1 },
  Temperature: { quantity: 'temperature', factor: 1 },
  PressurekPa: { quantity: 'pressure', factor: 1000 },
  PressurePa: { quantity: 'pressure', factor: 1 },
  Humidity: { quantity: 'humidity', factor: 0.01 },
  Rotational: { quantity: 'rotation', factor: 1 },
  Percent: { quantity: 'ratio', factor: 0.01 },
}
