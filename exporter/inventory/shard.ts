import { createHash } from 'node:crypto'
import { z } from 'zod'

/** One of `count` exporters that share the devices; the first is 1. */
export interface Shard {
  index: number
  count: number
}

/** `2/4`: the second of four. */
export const shardSetting = z
  .string()
  .regex(/^\d{1,4}\/\d{1,4}$/, 'expected i/n such as 2/4')
  .transform((text): Shard => {
    const [index = 0, count = 0] = text.split('/').map(Number)
    return { index, count }
  })
  .refine(({ index, count }) => index >= 1 && index <= count, 'expected i/n with i from 1 to n')

/**
 * Whether a device is this shard's. Each xname goes to the shard whose number i gives the greatest
 * SHA-256 of `XNAME i`, first 4 bytes, big-endian: every exporter finds the same from n alone, and
 * one more shard takes its devices from the others but moves none between them.
 */
export function isInShard(xname: string, { index, count }: Shard): boolean {
  let [best, most] = [0, -1]
  for (let each = 1; each <= count; each++) {
    const weight = createHash('sha256').update(`${xname} ${each}`).digest().readUInt32BE()
    if (weight > most) [best, most] = [each, weight]
  }
  return best === index
}
