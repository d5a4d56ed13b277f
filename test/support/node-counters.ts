import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** What node `nth`, from 1, draws in a second since 1970: loads that come and go, each its own. */
export function drawnWatts(nth: number, second: number): number {
  return 200 + 40 * nth + (second % (4 + nth) < 2 ? 300 : 0)
}

/** What accelerator `index` of any node draws of that in a second since 1970. */
export function acceleratorWatts(index: number, second: number): number {
  return 10 * (index + 1) + (second % 3 === 0 ? 20 : 0)
}

/** What node `nth` draws between two whole seconds since 1970, in joules. */
function drawnJoules(nth: number, from: number, to: number): number {
  let joules = 0
  for (let second = from; second < to; second++) joules += drawnWatts(nth, second)
  return joules
}

/**
 * The files `energy` and `power` of Cray's pm_counters for nodes that draw `drawnWatts`, in a
 * folder for each node, brought up to date several times a second.
 */
export class NodeCounters {
  /** When the counters began with 1 MJ, in whole seconds since 1970. */
  readonly begun = Math.floor(Date.now() / 1000)
  readonly #folder: string
  readonly #nodes: readonly string[]
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<unknown> = Promise.resolve()

  static async start(folder: string, nodes: readonly string[]): Promise<NodeCounters> {
    const counters = new NodeCounters(folder, nodes)
    await Promise.all(nodes.map((node) => mkdir(join(folder, node), { recursive: true })))
    await counters.#write()
    counters.#timer = setInterval(() => {
      counters.#writing = counters.#writing.then(() => counters.#write())
    }, 200)
    return counters
  }

  private constructor(folder: string, nodes: readonly string[]) {
    this.#folder = folder
    this.#nodes = nodes
  }

  /** What the counter of node `nth` shows at a whole second. */
  joulesAt(nth: number, second: number): number {
    return 1_000_000 + drawnJoules(nth, this.begun, second)
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#writing
  }

  async #write(): Promise<void> {
    const now = Date.now() / 1000
    const second = Math.floor(now)
    const stamp = `${Math.floor(now * 1e6)} us\n`
    await Promise.all(
      this.#nodes.map(async (node, i) => {
        const watts = drawnWatts(i + 1, second)
        const joules = Math.floor(this.joulesAt(i + 1, second) + watts * (now - second))
        await this.#replace(join(node, 'energy'), `${joules} J ${stamp}`)
        await this.#replace(join(node, 'power'), `${watts} W ${stamp}`)
      }),
    )
  }

  /** Whoever reads sees the old text or the new one. */
  async #replace(name: string, text: string): Promise<void> {
    const file = join(this.#folder, name)
    await writeFile(`${file}.new`, text)
    await rename(`${file}.new`, file)
  }
}
