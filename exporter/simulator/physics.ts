import { type Load, type Seconds, wave } from './load.ts'
import { hash01 } from './random.ts'
import { computeNodes, gigabyteServer, iloServer, nodeControllers, pdus } from './system.ts'
import type { Timeline } from './timeline.ts'

/** Everything of the system but its nodes' own power: what feeds them and what cools them. */
export interface Plant {
  timeline: Timeline
  /** Watts that the controller of a blade takes from the 12 V feed of its card. */
  cardWatts(slot: number, at: Seconds): number
  /** Watts of a switch blade at the chassis's 380 V. */
  switchWatts(index: number, at: Seconds): number
  /** Watts of the chassis controller. */
  cmmWatts(at: Seconds): number
  /** DC output of all rectifiers: the sum of the above and of the nodes. */
  outputWatts(at: Seconds): number
  rectifierWatts(index: number, at: Seconds): { input: number; output: number }
  coolant(at: Seconds): { supplyCelsius: number; returnCelsius: number }
  /** Air at the front of the rack. */
  intakeCelsius(at: Seconds): number
  outlet(pdu: string, outlet: number): Load
}

export const rectifiers = 4
export const outletsPerPdu = 12
/** Of the DC that a server's supplies give, per watt from the outlet. */
const supplyEfficiency = 0.92
/** How a server's two supplies, one on each PDU, divide its load. */
export const supplyShares = [0.52, 0.48] as const

const rectifierShares = [0.244, 0.248, 0.253, 0.255]
const coolantKilogramsPerSecond = 1.3
const waterJoulesPerKilogramKelvin = 4186
const day: Seconds = 24 * 3600

/** The plant around the nodes of this timeline; `seed` shifts its slow ups and downs. */
export function createPlant(timeline: Timeline, seed: number): Plant {
  const since = (at: Seconds) => at - timeline.epoch
  const steady = (mean: number, swing: number, period: Seconds, number: number) =>
    wave(mean, swing, period, hash01(seed, number))
  const cards = nodeControllers.map(({ slot, model }) =>
    steady(model.accelerators > 0 ? 31 : 11, 1, 240, 100 + slot),
  )
  const switches = [0, 1].map((index) => steady(262, 14, 1500, 120 + index))
  const cmm = steady(64, 2, 600, 130)
  const supply = steady(22.5, 0.6, day, 140)
  const intake = steady(20.5, 1.5, day, 141)
  const outlets = createOutlets(timeline, seed)
  const watts = (load: Load | undefined, at: Seconds) => load?.watts(since(at)) ?? 0

  const outputWatts = latest((at) => {
    const nodes = sum(computeNodes, ({ xname }) => timeline.track(xname).wattsAt(at).node)
    const rest = sum([...cards, ...switches, cmm], (load) => watts(load, at))
    return nodes + rest
  })
  const rectifierWatts = (index: number, at: Seconds) => {
    const output = outputWatts(at) * (rectifierShares[index] ?? 0)
    return { output, input: output / rectifierEfficiency(output) }
  }
  return {
    timeline,
    cardWatts: (slot, at) => watts(cards[slot], at),
    switchWatts: (index, at) => watts(switches[index], at),
    cmmWatts: (at) => watts(cmm, at),
    outputWatts,
    rectifierWatts,
    coolant: latest((at) => {
      const heat = sum(rectifierShares, (_, index) => rectifierWatts(index, at).input)
      const rise = heat / (coolantKilogramsPerSecond * waterJoulesPerKilogramKelvin)
      const supplyCelsius = watts(supply, at)
      return { supplyCelsius, returnCelsius: supplyCelsius + rise }
    }),
    intakeCelsius: (at) => watts(intake, at),
    outlet: (pdu, outlet) => outlets.get(`${pdu} ${outlet}`) ?? nothing,
  }
}

/** Near 97 % from a quarter of the 15 kW on; below that it falls off, as the makers' curves do. */
export function rectifierEfficiency(outputWatts: number): number {
  return 0.972 - 0.05 * Math.exp(-outputWatts / 900)
}

const nothing: Load = { watts: () => 0, joules: () => 0 }

/** Loads of the outlets, counted from the epoch: the two servers and a network switch. */
function createOutlets(timeline: Timeline, seed: number): Map<string, Load> {
  return new Map(
    pdus.flatMap((pdu, index): [string, Load][] => [
      [`${pdu} 1`, serverSupply(timeline, `${iloServer}n0`, index)],
      [`${pdu} 2`, serverSupply(timeline, `${gigabyteServer}n0`, index)],
      [`${pdu} 3`, wave(61, 3, 900, hash01(seed, 150 + index))],
    ]),
  )
}

function serverSupply(timeline: Timeline, xname: string, index: number): Load {
  const track = timeline.track(xname)
  const part = (supplyShares[index] ?? 0) / supplyEfficiency
  return {
    watts: (elapsed) => track.wattsAt(timeline.epoch + elapsed).node * part,
    joules: (elapsed) => track.joulesAt(timeline.epoch + elapsed).node * part,
  }
}

/** Remembers the last answer: the sensors of one moment ask for the same instant. */
function latest<T>(compute: (at: Seconds) => T): (at: Seconds) => T {
  let known: { at: Seconds; value: T } | undefined
  return (at) => {
    if (known?.at !== at) known = { at, value: compute(at) }
    return known.value
  }
}

function sum<T>(things: readonly T[], amount: (thing: T, index: number) => number): number {
  return things.reduce((total, thing, index) => total + amount(thing, index), 0)
}
