import { readFile } from 'node:fs/promises'
import { Agent } from 'node:https'
import fetch from 'node-fetch'
import { fieldAt, textAt } from '../exporter/redfish/parse.ts'

export interface ClientOptions {
  /** Where power control answers, with or without `/v1`. */
  url: string
  tokenFile?: string | undefined
  /** PEM files: whom to trust, and who we are. */
  caFile?: string | undefined
  certFile?: string | undefined
  keyFile?: string | undefined
}

/** A client of power control, or of HPE's: the JSON of an answer. */
export type PowerClient = (method: string, path: string, body?: object) => Promise<unknown>

/** The variable that holds the token where no file is named. */
const tokenVariable = 'JOULEBRIDGE_CONTROL_TOKEN'
const timeoutSeconds = 60

/** @throws {Error} when a file cannot be read; each call with the reason that the service gives. */
export async function createPowerClient(
  { url, tokenFile, caFile, certFile, keyFile }: ClientOptions,
  env: NodeJS.ProcessEnv,
): Promise<PowerClient> {
  const read = async (file: string | undefined) =>
    file === undefined ? undefined : await readFile(file, 'utf8')
  const [token = env[tokenVariable], ca, cert, key] = await Promise.all(
    [tokenFile, caFile, certFile, keyFile].map(read),
  )
  const files = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) }
  const agent = url.startsWith('https:') ? new Agent(files) : undefined
  const headers = {
    'content-type': 'application/json',
    ...(token && { authorization: `Bearer ${token.trim()}` }),
  }
  const base = url.replace(/\/+$/, '')
  return async (method, path, body) => {
    const response = await fetch(base + path, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      ...(agent && { agent }),
      signal: AbortSignal.timeout(timeoutSeconds * 1000),
    })
    const answer: unknown = await response.json().catch(() => undefined)
    if (response.ok) return answer
    const reason = textAt(answer, 'detail') ?? fieldAt(answer, 'title') ?? 'no reason given'
    throw new Error(`${url}: HTTP ${response.status}: ${String(reason)}`)
  }
}
