import { setTimeout as delay } from 'node:timers/promises'
import type { Get } from '../redfish/collection.ts'

/** Requests to a device that falls over under bursts: one at a time, with a pause between them. */
export class Spacing {
  /** 0: requests go as they come. */
  gapSeconds = 0
  #last: Promise<unknown> = Promise.resolve()

  /** `get`, with those pauses. */
  around(get: Get): Get {
    return (path) => {
      if (this.gapSeconds === 0) return get(path)
      const answer = this.#last.then(() => get(path))
      const pause = () => delay(this.gapSeconds * 1000, undefined, { ref: false })
      this.#last = answer.then(pause, pause)
      return answer
    }
  }
}
