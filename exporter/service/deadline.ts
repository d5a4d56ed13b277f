/**
 * Runs `work` with a signal that is aborted after `milliseconds`, or when one of `others` is. Not
 * by `AbortSignal.any`: Node 20 keeps what that returns as long as any of its sources lives, 2 kB
 * for each request in the life of a service.
 */
export async function withDeadline<T>(
  milliseconds: number,
  others: readonly (AbortSignal | undefined)[],
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const own = new AbortController()
  const timer = setTimeout(() => own.abort(new DeadlinePassed(milliseconds)), milliseconds)
  const follow = (event: Event) => own.abort((event.target as AbortSignal).reason)
  for (const other of others) {
    if (other?.aborted) own.abort(other.reason)
    other?.addEventListener('abort', follow, { once: true })
  }
  try {
    return await work(own.signal)
  } finally {
    clearTimeout(timer)
    for (const other of others) other?.removeEventListener('abort', follow)
  }
}

/** The reason of a signal whose time was up. */
export class DeadlinePassed extends Error {
  override readonly name = 'DeadlinePassed'

  constructor(milliseconds: number) {
    super(`no end within ${milliseconds / 1000} s`)
  }
}
