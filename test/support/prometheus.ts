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
  close(): Promise<void>
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
    close: async () => {
      await child.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

interface QueryAnswer {
  status: string
  error?: string
  data: { result: { metric: Record<string, string>; value: [number, string] }[] }
}

async function query(url: string, promql: string, at: Date): Promise<Map<string, number>> {
  const parameters = new URLSearchParams({ query: promql, time: String(at.getTime() / 1000) })
  const response = await fetch(`${url}/api/v1/query?${parameters}`)
  const answer = (await response.json()) as QueryAnswer
  if (answer.status !== 'success') throw new Error(`${promql}: ${answer.error}`)
  const series = answer.data.result.map(({ metric, value }): [string, number] => [
    JSON.stringify(metric),
    Number(value[1]),
  ])
  return new Map(series)
}
