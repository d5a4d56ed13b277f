import type { Collector } from './collector.ts'
import { rackPdu } from './rack-pdu.ts'

/**
 * An HPE G2 PDU (its manufacturer reads `CIS`). It falls over when its requests come in a burst,
 * and its numbers may be six minutes old.
 */
export const hpePdu: Collector = { ...rackPdu, kind: 'hpe-pdu', spaced: true }
