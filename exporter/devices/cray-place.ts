import { parentXname } from '../inventory/xname.ts'

/** The labels that every reading of a Cray controller has. */
export interface CrayPlace extends Record<string, string> {
  /** The component. */
  xname: string
  /** The controller that was asked. */
  bmc: string
  source: 'redfish'
}

/**
 * Which component a chassis or system of a Cray controller is, and for some sensors which part of
 * it: HPE's hms-smd, "Component Names (xnames)" of docs-csm. What has no name of its own (a NIC
 * card, a node card) belongs to the controller. An accelerator's sensors belong to its node:
 * xnames count GPU devices, of which an EX235a module holds two.
 */
export function crayPlace(bmc: string, chassis: string, sensor = ''): CrayPlace {
  return { xname: componentOf(bmc, chassis, sensor), bmc, source: 'redfish' }
}

function componentOf(bmc: string, chassis: string, sensor: string): string {
  const around = parentXname(bmc) ?? bmc
  const node = numberIn(/^Node[ _-]?(\d+)$/i, chassis)
  if (node !== undefined) return `${bmc}n${node}`
  if (isChassisController(bmc)) {
    const blade = numberIn(/^Blade[ _-]?(\d+)$/i, chassis)
    if (blade !== undefined) return `${around}s${blade}`
    const peripheral = numberIn(/^Perif[ _-]?(\d+)$/i, chassis)
    if (peripheral !== undefined) return `${around}r${peripheral}`
    const rectifier = numberIn(/^Rectifier(\d+)/, sensor)
    return rectifier === undefined ? around : `${around}t${rectifier}`
  }
  const cage = numberIn(/^NetworkingDevice(\d+)(?:Temperature|Voltage)$/, sensor)
  return cage === undefined ? bmc : `${around}j${cage}`
}

function isChassisController(bmc: string): boolean {
  return /^x\d+c\d+b\d+$/.test(bmc)
}

function numberIn(pattern: RegExp, text: string): number | undefined {
  const digits = pattern.exec(text)?.[1]
  return digits === undefined ? undefined : Number(digits)
}
