/** Many who look at once cost one question; an answer counts for so long, an error not at all. */
export function shared<T>(milliseconds: number, read: () => Promise<T>): () => Promise<T> {
  let latest: { at: number; value: Promise<T> } | undefined
  return () => {
    const now = Date.now()
    if (!latest || now - latest.at >= milliseconds) {
      const value = read()
      latest = { at: now, value }
      value.catch(() => {
        if (latest?.value === value) latest = undefined
      })
    }
    return latest.value
  }
}
