export interface RoundEnd {
  requests: number
  /** Something is missing: try again in so many seconds instead of at the pace. */
  againSeconds?: number | undefined
}

/** One kind of round of a device beside its polls, at a pace: never two of them at once. */
export class PacedRound {
  /** The round that runs. */
  running: Promise<void> | undefined
  /** Of the last that has ended. */
  requests: number | undefined
  #lastSeconds = 0
  #startedAt = Number.NEGATIVE_INFINITY
  #dueAt = Number.NEGATIVE_INFINITY

  /**
   * Runs `work` when it is time. A round that takes longer than its pace lets as much time pass
   * before the next.
   */
  startIfDue(paceSeconds: number, work: () => Promise<RoundEnd>): void {
    const startedAt = performance.now()
    if (this.running !== undefined || startedAt < this.#dueAt) return
    this.running = this.#run(startedAt, paceSeconds, work).finally(() => {
      this.running = undefined
    })
  }

  /** How long the last took, or the one that runs has taken so far if that is longer. */
  get seconds(): number {
    if (this.running === undefined) return this.#lastSeconds
    return Math.max(this.#lastSeconds, (performance.now() - this.#startedAt) / 1000)
  }

  /** The next is due in so many seconds, whatever the pace. */
  dueIn(seconds: number): void {
    this.#dueAt = performance.now() + seconds * 1000
  }

  async #run(startedAt: number, paceSeconds: number, work: () => Promise<RoundEnd>) {
    this.#startedAt = startedAt
    this.#dueAt = startedAt + paceSeconds * 1000
    const { requests, againSeconds = paceSeconds } = await work()
    this.requests = requests
    const tookMs = performance.now() - startedAt
    this.#lastSeconds = tookMs / 1000
    this.#dueAt = startedAt + Math.max(againSeconds * 1000, 2 * tookMs)
  }
}
