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

/** @throws Error with the problem's words when the answer is no 2xx. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await fetch(path, signal ? { signal } : {})
  if (response.ok) return (await response.json()) as T
  const problem = (await response.json().catch(() => ({}))) as { detail?: string }
  throw new Error(problem.detail ?? `${path} answers ${response.status}`)
}
