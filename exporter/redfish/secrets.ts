import { readSecret, type Secret } from '../service/settings.ts'

/** The present values of secrets: a changed file is noticed within seconds. */
export interface Secrets {
  /** At most some seconds old. @throws {Error} naming the file or variable, never the value. */
  recent(where: Secret): Promise<string>
  /** Read now. @throws {Error} as above. */
  fresh(where: Secret): Promise<string>
}

/** Devices that share a secret share its reads: 2000 of them cost one in this time. */
const keptSeconds = 5

interface Kept {
  value: string
  until: number
}

/** `now` is in milliseconds, of a clock that never goes back. */
export function createSecrets(
  env: NodeJS.ProcessEnv,
  now: () => number = () => performance.now(),
): Secrets {
  const kept = new Map<string, Kept>()
  const fresh = async (where: Secret) => {
    const value = await readSecret(where, env)
    if (value === '') throw new Error(`the secret in ${placeOf(where)} is empty`)
    kept.set(placeOf(where), { value, until: now() + keptSeconds * 1000 })
    return value
  }
  return {
    fresh,
    async recent(where) {
      const known = kept.get(placeOf(where))
      if (known && known.until > now()) return known.value
      // A file that is just being replaced is no reason to stop with what still works.
      return await fresh(where).catch((error: unknown) => {
        if (known) return known.value
        throw error
      })
    },
  }
}

/** Where a secret stands, for messages. */
export function placeOf(where: Secret): string {
  return 'env' in where ? `environment variable ${where.env}` : `file ${where.file}`
}
