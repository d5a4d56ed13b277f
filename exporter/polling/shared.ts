interface Run<T> {
  result: Promise<T>
  /** How many still wait for it. */
  asking: number
  givenUp: AbortController
}

/** Work that several ask for at once is done once, and given up when all of them have left. */
export class SharedRuns<T> {
  readonly #runs = new Map<string, Run<T>>()

  /** The result of `work`, or of the work of the same key that is under way. */
  async run(
    key: string,
    left: AbortSignal,
    work: (givenUp: AbortSignal) => Promise<T>,
  ): Promise<T> {
    for (let old = this.#runs.get(key); old?.givenUp.signal.aborted; old = this.#runs.get(key)) {
      await old.result.catch(() => {})
    }
    const run = this.#runs.get(key) ?? this.#start(key, work)
    run.asking++
    const leave = () => {
      run.asking--
      if (run.asking === 0) run.givenUp.abort()
    }
    if (left.aborted) leave()
    left.addEventListener('abort', leave, { once: true })
    return await run.result.finally(() => left.removeEventListener('abort', leave))
  }

  #start(key: string, work: (givenUp: AbortSignal) => Promise<T>): Run<T> {
    const givenUp = new AbortController()
    const result = work(givenUp.signal).finally(() => this.#runs.delete(key))
    const run = { result, asking: 0, givenUp }
    this.#runs.set(key, run)
    return run
  }
}
