import type { Seconds } from '../load.ts'
import { nodeControllers, switchControllers } from '../system.ts'

/** A chassis or slot that was switched last at `at`. */
export interface SlotChange {
  name: string
  state: 'On' | 'Off'
  at: Seconds
}

/** From power to the first answer of a controller, which takes minutes in reality. */
const bootSeconds: Seconds = 60

export const enclosureName = 'Enclosure'
/** Slots of a chassis: eight for compute blades, eight for switch blades, of which two are used. */
const blades = nodeControllers.map(({ slot }) => `Blade${slot}`)
const perifs = Array.from({ length: 8 }, (_, slot) => `Perif${slot}`)
const usedPerifs = ['Perif1', 'Perif3'] as const

/** The slot that each controller of a blade lies in. */
const slotOf = new Map<string, string>([
  ...nodeControllers.map(({ xname, slot }): [string, string] => [xname, `Blade${slot}`]),
  ...switchControllers.map((xname, index): [string, string] => [xname, usedPerifs[index] ?? '']),
])

/** Which slots have power; what was switched is kept in `changes`, the newest of each. */
export class Slots {
  readonly names: readonly string[] = [...blades, ...perifs]
  readonly #changes: SlotChange[]

  constructor(changes: SlotChange[]) {
    this.#changes = changes
  }

  isPresent(name: string): boolean {
    return blades.includes(name) || usedPerifs.some((used) => used === name)
  }

  /** Of a slot, or of the chassis. */
  stateOf(name: string): 'On' | 'Off' {
    const isOn = name === enclosureName || this.isPresent(name)
    return this.#changeOf(name)?.state ?? (isOn ? 'On' : 'Off')
  }

  switch(name: string, state: 'On' | 'Off', at: Seconds): void {
    if (this.stateOf(name) === state) return
    const known = this.#changeOf(name)
    if (known === undefined) this.#changes.push({ name, state, at })
    else Object.assign(known, { state, at })
  }

  /** Whether a blade's controller has power and has started; any other device is always up. */
  isUp(xname: string, at: Seconds): boolean {
    const slot = slotOf.get(xname)
    if (slot === undefined) return true
    const change = this.#changeOf(slot)
    return change === undefined || (change.state === 'On' && at >= change.at + bootSeconds)
  }

  #changeOf(name: string): SlotChange | undefined {
    return this.#changes.find((change) => change.name === name)
  }
}
