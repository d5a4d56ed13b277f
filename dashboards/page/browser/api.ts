/** Answers of the record's HTTP API, as far as the page reads them. */
export interface Overview {
  time: string
  nodes: NodeNow[]
  cabinets: { cabinet: string; input_watts: number | null; node_watts: number | null }[]
  silent: string[]
}

export interface NodeNow {
  xname: string
  power_watts: number | null
  temperature_celsius: number | null
  job_ids: number[]
}

/** What `/api/v1/alerts` tells. */
export interface Alerts {
  source: 'prometheus' | 'alertmanager' | 'record'
  url: string | null
  error: string | null
  known: string[] | null
  alerts: Alert[]
  more: number
}

export interface Alert {
  alert: string
  severity: string
  place: string | null
  since: string | null
  summary: string
  description: string
  runbook: boolean
}

export interface PowerHistory {
  from: string
  step_seconds: number
  lines: { xname: string; watts: (number | null)[] }[]
}

export interface Energy {
  joules: number | null
  joules_low: number | null
  joules_high: number | null
  coverage_ratio: number
  method: string
  resets: number
}

export interface Job {
  job_id: number
  cluster: string
  user: string | null
  account: string | null
  partition: string | null
  name: string | null
  state: string
  started_at: string
  ended_at: string | null
  runs: number
  nodes: number
  nodelist: string
  energy: Energy & { nodes_expected: number; nodes_with_data: number }
}

export interface JobEnergy extends Energy {
  nodes: (Energy & { node: string; xname: string | null })[]
}

/** What `/energy/parts` tells. */
export interface JobParts {
  steps: (Stretch & { step: string })[]
  /** The times in which the job was suspended. */
  suspensions: Stretch[]
  domains: { domain: string; joules: number; nodes_with_data: number }[]
  overhead: {
    cabinet: string
    node_joules: number
    rectifier_loss_joules: number | null
    switch_joules: number | null
    other_joules: number | null
    /** Null where the site has given no figure for its cooling. */
    cooling_joules: number | null
  }[]
}

interface Stretch {
  started_at: string
  ended_at: string | null
  joules: number | null
  joules_low: number | null
  joules_high: number | null
  coverage_ratio: number
}

/**
 * JSON as it means, other answers as text.
 * @throws Error with the problem's words when the answer is no 2xx.
 */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return await answerOf<T>(await fetch(path, { headers: headers(), signal: signal ?? null }))
}

/** @throws as `get`. */
export async function send<T>(
  method: 'POST' | 'DELETE',
  path: string,
  body?: unknown,
  more: Record<string, string> = {},
): Promise<T> {
  const text = body === undefined ? null : JSON.stringify(body)
  const type = { 'content-type': 'application/json' }
  const response = await fetch(path, {
    method,
    headers: { ...headers(), ...type, ...more },
    body: text,
  })
  return await answerOf<T>(response)
}

async function answerOf<T>(response: Response): Promise<T> {
  const isJson = response.headers.get('content-type')?.includes('json')
  if (response.ok) return (isJson ? await response.json() : await response.text()) as T
  const problem = (await response.json().catch(() => ({}))) as { detail?: string }
  throw new Error(problem.detail ?? `${response.url} answers ${response.status}`)
}

const tokenKey = 'control token'

/** The bearer token of this tab; it goes with the tab, and no other page can send it. */
export function token(): string | undefined {
  return sessionStorage.getItem(tokenKey) ?? undefined
}

export function setToken(value: string | undefined): void {
  if (value === undefined) sessionStorage.removeItem(tokenKey)
  else sessionStorage.setItem(tokenKey, value)
}

function headers(): Record<string, string> {
  const own = token()
  return own === undefined ? {} : { authorization: `Bearer ${own}` }
}
