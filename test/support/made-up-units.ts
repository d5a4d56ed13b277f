/** What a property measures, as the standard schemas name it, and the unit that it has there. */
export type Kind = 'W' | 'J' | 'V' | 'A' | 'Cel' | 'kPa' | '%' | 'RPM'

/** How a quantity may be told: unit, type, and what a unit is in that of its kind. */
export const units: Record<Kind, readonly [units: string, type: string, size: number][]> = {
  W: [
    ['W', 'Power', 1],
    ['kW', 'Power', 1000],
    ['w', '', 1],
    ['', 'Power', 1],
  ],
  J: [
    ['J', 'EnergyJoules', 1],
    ['kW.h', 'EnergykWh', 3.6e6],
    ['', 'EnergykWh', 3.6e6],
    ['W.h', 'EnergyWh', 3600],
    ['kWh', '', 3.6e6],
  ],
  V: [
    ['V', 'Voltage', 1],
    ['mV', 'Voltage', 0.001],
    ['', 'Voltage', 1],
  ],
  A: [
    ['A', 'Current', 1],
    ['mA', 'Current', 0.001],
  ],
  Cel: [
    ['Cel', 'Temperature', 1],
    ['C', '', 1],
    ['', 'Temperature', 1],
  ],
  kPa: [
    ['kPa', 'PressurekPa', 1],
    ['mbar', '', 0.1],
    ['bar', '', 100],
    ['Pa', 'PressurePa', 0.001],
  ],
  '%': [
    ['%', 'Humidity', 1],
    ['', 'Humidity', 1],
  ],
  RPM: [
    ['{rev}/min', 'Rotational', 1],
    ['RPM', '', 1],
    ['', 'Rotational', 1],
  ],
}
