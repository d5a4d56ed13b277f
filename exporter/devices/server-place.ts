import { parseXname } from '../inventory/xname.ts'

/**
 * What a rack server measures is its node: a BMC mostly has one, `n0` (hms-smd). A device that is
 * no server stands for itself.
 */
export function serverLabels(bmc: string, node = 0): Record<string, string> {
  const isServer = parseXname(bmc).type === 'NodeBMC'
  return { xname: isServer ? `${bmc}n${node}` : bmc, bmc, source: 'redfish' }
}
