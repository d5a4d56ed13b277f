import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fetch from 'node-fetch'
import { type PrometheusTargets, prometheusConfig } from '../../dashboards/prometheus.ts'
import { findProgram, startChild } from '../../exporter/service/child.ts'
import { freePort } from './port.ts'

export interface TestPrometheus {
  /** The value of each series of an instant query, by its labels as JSON. */
  query(promql: string, at: Date): Promise<Map<string, number>>
  /** The points of each series of a range query, by its labels as JSON. */
  queryRange(promql: string, range: QueryRange): Promise<Map<string, [number, string][]>>
  url: string
  close(): Promise<void>
}

export interface QueryRange {
  from: Date
  to: Date
  stepSeconds: number
}

/** The program's path; without it the test is skipped aloud, or fails where `CI` is set. */
export async function requireProgram(name: string, context: Mocha.Context): Promise<string> {
  const program = await findProgram(name, process.env)
  if (program !== undefined) return program
  if (process.env['CI']) throw new Error(`${name} is not installed, and CI must have it`)
  process.stderr.write(`SKIPPED: ${name} is not installed: ${context.test?.parent?.fullTitle()}\n`)
  context.skip()
}

/** A real Prometheus on the configuration that `joulebridge start` generates. */
export async function startPrometheus(
  program: string,
  targets: PrometheusTargets,
): Promise<TestPrometheus> {
  return await runPrometheus(program, prometheusConfig(targets))
}

/** A real Prometheus with its own storage; `address` is `host:port`, a free port by default. */
export async function runPrometheus(
  program: string,
  config: string,
  { flags = [], address }: { flags?: readonly string[]; address?: string } = {},
): Promise<TestPrometheus> {
  const directory = await mkdtemp(join(tmpdir(), 'joulebridge-prometheus-'))
  const configFile = join(directory, 'prometheus.yml')
  await writeFile(configFile, config)
  const listen = address ?? `127.0.0.1:${await freePort()}`
  const child = await startChild({
    name: 'prometheus',
    command: program,
    args: [
      `--config.file=${configFile}`,
      `--storage.tsdb.path=${directory}/data`,
      `--web.listen-address=${listen}`,
      ...flags,
    ],
    env: process.env,
    logFile: join(directory, 'prometheus.log'),
    readyUrl: `http://${listen}/-/ready`,
    signal: new AbortController().signal,
  })
  return {
    query: (promql, at) => query(`http://${listen}`, promql, at),
    queryRange: (promql, range) => queryRange(`http://${listen}`, promql, range),
    url: `http://${listen}`,
    close: async () => {
      await child.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function query(url: string, promql: string, at: Date): Promise<Map<string, number>> {
  const time = String(at.getTime() / 1000)
  const series = await ask<{ value: Point }>(`${url}/api/v1/query`, { query: promql, time })
  return new Map(series.map(({ metric, value }) => [JSON.stringify(metric), Number(value[1])]))
}

async function queryRange(
  url: string,
  promql: string,
  { from, to, stepSeconds }: QueryRange,
): Promise<Map<string, Point[]>> {
  const series = await ask<{ values: Point[] }>(`${url}/api/v1/query_range`, {
    query: promql,
    start: String(from.getTime() / 1000),
    end: String(to.getTime() / 1000),
    step: String(stepSeconds),
  })
  return new Map(series.map(({ metric, values }) => [JSON.stringify(metric), values]))
}

type Point = [seconds: number, value: string]

interface QueryAnswer<T> {
  status: string
  error?: string
  data: { result: (T & { metric: Record<string, string> })[] }
}

async function ask<T>(url: string, parameters: Record<string, string>) {
  const response = await fetch(`${url}?${new URLSearchParams(parameters)}`)
  const answer = (await response.json()) as QueryAnswer<T>
  if (answer.status !== 'success') throw new Error(`${parameters['query']}: ${answer.error}`)
  return answer.data.result
}
