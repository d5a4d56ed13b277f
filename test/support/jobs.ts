import fetch from 'node-fetch'
import type { Service } from '../../exporter/service/http.ts'

/** What GET /api/v1/jobs/{id}/energy answers. */
export interface EnergyAnswer extends NodeAnswer {
  job_id: number
  nodes_expected: number
  nodes_with_data: number
  nodes: NodeAnswer[]
}

export interface NodeAnswer {
  node: string
  xname: string | null
  joules: number | null
  joules_low: number | null
  joules_high: number | null
  coverage_ratio: number
  method: string
  resets: number
}

export async function postEvents({ url }: Service, events: readonly object[]) {
  const response = await fetch(`${url}/api/v1/jobs/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ events }),
  })
  const body = (await response.json()) as Record<string, unknown>
  return { status: response.status, body }
}

export async function getJson<T>({ url }: Service, path: string, status = 200): Promise<T> {
  const response = await fetch(`${url}${path}`)
  const text = await response.text()
  if (response.status !== status) throw new Error(`${path}: ${response.status} ${text}`)
  return JSON.parse(text) as T
}

/** RFC 3339 of seconds since 1970. */
export function iso(seconds: number): string {
  return new Date(seconds * 1000).toISOString()
}
