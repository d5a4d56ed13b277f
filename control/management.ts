import { setTimeout as sleep } from 'node:timers/promises'
import fetch from 'node-fetch'
import type { HsmSettings } from '../exporter/inventory/hsm.ts'
import { isXname } from '../exporter/inventory/xname.ts'
import { fieldAt, listAt, textAt } from '../exporter/redfish/parse.ts'
import { createAgent, createTrust, type Trust } from '../exporter/redfish/trust.ts'
import { withDeadline } from '../exporter/service/deadline.ts'
import type { Logger } from '../exporter/service/log.ts'
import { UnavailableError } from '../exporter/service/request-error.ts'
import { readSecret } from '../exporter/service/settings.ts'
import type { Protection } from './guard.ts'
import type { ControlSettings } from './settings.ts'

/** What only `override` reaches: by the settings, and by the roles that HSM knows. */
export interface Protections {
  /** @throws {UnavailableError} while HSM, if there is one, has told no roles yet. */
  now(): readonly Protection[]
  close(): Promise<void>
}

type Options = Pick<ControlSettings, 'protected' | 'protectedRoles' | 'discovery'>

interface Context {
  log: Logger
  env: NodeJS.ProcessEnv
}

/** 50,000 components of some 300 bytes. */
const largestBody = 32 * 1024 * 1024

/** Roles that were told once count until HSM tells others: silence takes no protection away. */
export function watchProtections(options: Options, { log, env }: Context): Protections {
  const { protected: fixed, protectedRoles: roles, discovery } = options
  const { hsm } = discovery
  if (hsm === undefined || roles.length === 0) return { now: () => fixed, async close() {} }
  const stopping = new AbortController()
  const { signal } = stopping
  const trust = createTrust()
  let told: readonly Protection[] | undefined
  let isSilent = false
  const round = async () => {
    try {
      told = await askRoles(hsm, roles, { env, trust, signal })
      isSilent = false
    } catch (error) {
      if (!isSilent && !signal.aborted) log.warn({ error }, 'HSM tells no roles')
      isSilent = true
    }
  }
  const watch = async () => {
    while (!signal.aborted) {
      await round()
      await sleep((told ? hsm.everySeconds : 1) * 1000, undefined, { signal }).catch(() => {})
    }
  }
  const watching = watch()
  return {
    now() {
      if (told !== undefined) return [...fixed, ...told]
      throw new UnavailableError('roles_unknown', 'HSM has not told the roles of components yet')
    },
    async close() {
      stopping.abort()
      await watching
    },
  }
}

interface Asking {
  env: NodeJS.ProcessEnv
  trust: Trust
  signal: AbortSignal
}

async function askRoles(
  { url, token, caFile, insecureSkipVerify, timeoutSeconds }: HsmSettings,
  roles: readonly string[],
  { env, trust, signal: stopping }: Asking,
): Promise<Protection[]> {
  const query = new URLSearchParams(roles.map((role): [string, string] => ['role', role]))
  const address = `${url}/hsm/v2/State/Components?${query}`
  const headers: Record<string, string> = { accept: 'application/json' }
  if (token) headers['authorization'] = `Bearer ${await readSecret(token, env)}`
  const agent = await createAgent({ url, caFile, insecureSkipVerify, trust })
  try {
    return await withDeadline(timeoutSeconds * 1000, [stopping], async (signal) => {
      const options = { agent, headers, redirect: 'manual', size: largestBody, signal } as const
      const response = await fetch(address, options)
      if (response.status !== 200) throw new Error(`HTTP ${response.status}`)
      return parseRoles(await response.json())
    })
  } catch (cause) {
    throw new Error(`HSM ${address}`, { cause })
  } finally {
    agent.destroy()
  }
}

/** HSM's answer to GET /State/Components (hms-smd, ComponentArray). @throws {Error} for another. */
function parseRoles(body: unknown): Protection[] {
  if (!Array.isArray(fieldAt(body, 'Components'))) throw new Error('expected Components')
  return listAt(body, 'Components').flatMap((component) => {
    const within = textAt(component, 'ID')?.toLowerCase()
    const role = textAt(component, 'Role') ?? 'unknown'
    return within !== undefined && isXname(within) ? { within, why: `its role is ${role}` } : []
  })
}
