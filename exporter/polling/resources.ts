/** A resource is shown until this many polls in a row have missed it. */
export const mostMisses = 3

interface Kept {
  body: unknown
  misses: number
}

/** The last answers of one device, by path. */
export class Resources {
  readonly #kept = new Map<string, Kept>()

  store(path: string, body: unknown): void {
    this.#kept.set(path, { body, misses: 0 })
  }

  miss(path: string): void {
    const kept = this.#kept.get(path)
    if (kept === undefined) return
    kept.misses++
    if (kept.misses >= mostMisses) this.#kept.delete(path)
  }

  /** Drops what is not among `paths`. */
  keepOnly(paths: ReadonlySet<string>): void {
    for (const path of this.#kept.keys()) if (!paths.has(path)) this.#kept.delete(path)
  }

  clear(): void {
    this.#kept.clear()
  }

  bodies(): ReadonlyMap<string, unknown> {
    return new Map([...this.#kept].map(([path, { body }]) => [path, body]))
  }
}
