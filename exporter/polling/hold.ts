import { setTimeout as delay } from 'node:timers/promises'

/** A pause that others have asked for; it ends by itself. */
export class Hold {
  #endsAt = Number.NEGATIVE_INFINITY

  /** Until so many seconds from now, or longer where it was so before; 0 ends it. */
  set(seconds: number): void {
    const endsAt = performance.now() + seconds * 1000
    this.#endsAt = seconds > 0 ? Math.max(this.#endsAt, endsAt) : Number.NEGATIVE_INFINITY
  }

  get active(): boolean {
    return this.remainingMs > 0
  }

  /** 0 when there is none. */
  get remainingMs(): number {
    return Math.max(0, this.#endsAt - performance.now())
  }

  /** Resolves when there is none, or the signal comes. An end by order is noticed soon. */
  async over(signal: AbortSignal): Promise<void> {
    while (this.active && !signal.aborted) {
      const pause = Math.min(this.remainingMs, lookEveryMs)
      await delay(pause, undefined, { signal }).catch(() => {})
    }
  }
}

const lookEveryMs = 200
