import type { Collector } from './collector.ts'
import { standard } from './standard.ts'

/**
 * OpenBMC, stock and as Foxconn's Paradise has it: the standard schemas over several chassis
 * (`Baseboard_0` for the board, `ProcessorModule_0` for limits). With the host off it has no
 * readings at all.
 */
export const openbmc: Collector = { ...standard, kind: 'openbmc' }
