import type { PushedSample } from './events.ts'
import type { Merged, MergeFault } from './merge.ts'

interface Body {
  samples: readonly PushedSample[]
  receivedMs: number
}

/** Five samples of each of 737 sensors are 3,685 every 5 s. */
const mostSamples = 20_000

/** What a device pushed before it was known what it has: the newest of it, until that is known. */
export class EarlyBodies {
  readonly #bodies: Body[] = []
  #count = 0

  /** Keeps a body; what there is no room for is of unknown sensors. */
  keep(samples: readonly PushedSample[], receivedMs: number): Merged {
    this.#bodies.push({ samples, receivedMs })
    this.#count += samples.length
    let dropped = 0
    while (this.#count > mostSamples) {
      const oldest = this.#bodies.shift()?.samples.length ?? this.#count
      this.#count -= oldest
      dropped += oldest
    }
    return { readings: [], faults: new Map(dropped > 0 ? [['unknown_sensor', dropped]] : []) }
  }

  /** What `take` makes of all that was kept, and then of this body. */
  takenWith(
    samples: readonly PushedSample[],
    receivedMs: number,
    take: (samples: readonly PushedSample[], receivedMs: number) => Merged,
  ): Merged {
    if (this.#bodies.length === 0) return take(samples, receivedMs)
    const bodies = [...this.#bodies.splice(0), { samples, receivedMs }]
    this.#count = 0
    const all = bodies.map((body) => take(body.samples, body.receivedMs))
    const faults = new Map<MergeFault, number>()
    for (const merged of all) {
      for (const [fault, count] of merged.faults)
        faults.set(fault, (faults.get(fault) ?? 0) + count)
    }
    return { readings: all.flatMap(({ readings }) => readings), faults }
  }
}
