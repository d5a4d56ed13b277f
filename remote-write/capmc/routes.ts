import express, { type Express, type NextFunction, type Request, type Response } from 'express'
import type { Pool } from 'pg'
import { UnavailableError } from '../../exporter/service/request-error.ts'
import { databaseError } from '../postgres/sqlstate.ts'
import { type Answer, type NodeEnergyRow, nodeCounters, nodeEnergy } from './nodes.ts'
import {
  CapmcError,
  capmcTime,
  parseCounterQuery,
  parseNodeQuery,
  parsePowerWindow,
} from './request.ts'
import { type SystemParameters, systemParameters } from './system-parameters.ts'
import { systemPower } from './system-power.ts'

export interface CapmcRoutes {
  pool: Pool
  maxGapSeconds: number
  site: SystemParameters
  now: () => Date
}

/**
 * Adds the energy and system power calls that CAPMC had until v2.0.0, under its paths, with its
 * fields and words (hms-capmc 1.x), and beside them what they lacked: coverage, bounds and the
 * source. Jobs and applications, which it took but refused, name their nodes and times.
 */
export function addCapmcRoutes(app: Express, routes: CapmcRoutes): void {
  const { pool, maxGapSeconds, site, now } = routes
  const add = (call: string, answer: (body: unknown) => Promise<object>, get = false) => {
    const path = `/capmc/v1/${call}`
    const readJson = express.json({ limit: '4mb', type: () => true })
    app.post(path, readJson, async (request, response) => {
      response.send({ e: 0, err_msg: '', ...(await answer(request.body)) })
    })
    if (get) {
      app.get(path, async (request, response) => {
        response.send({ e: 0, err_msg: '', ...(await answer(request.query)) })
      })
    }
    app.all(path, (request, response) => {
      const message = `${call}: method ${request.method} is not allowed`
      response
        .status(405)
        .set('allow', get ? 'GET, POST' : 'POST')
        .send({ e: 405, err_msg: message })
    })
    app.use(path, refuse)
  }
  const energyOf = async (body: unknown) => {
    const options = { now: now(), maxGapSeconds }
    return withData(await nodeEnergy(pool, parseNodeQuery(body), options))
  }
  add('get_node_energy', async (body) => nodeEnergyAnswer(await energyOf(body)))
  add('get_node_energy_stats', async (body) => statisticsAnswer(await energyOf(body)))
  add('get_node_energy_counter', async (body) => {
    const nodes = await nodeCounters(pool, parseCounterQuery(body), now())
    return counterAnswer(nodes)
  })
  const power = async (body: unknown) => systemPower(pool, parsePowerWindow(body, now()))
  add('get_system_power', async (body) => (await power(body)).system, true)
  add('get_system_power_details', async (body) => (await power(body)).details, true)
  add('get_system_parameters', async () => systemParameters(site), true)
}

type Measured = NodeEnergyRow & { joules: number }

interface MeasuredAnswer extends Answer {
  measured: Measured[]
}

function withData(answer: Answer): MeasuredAnswer {
  const measured = answer.nodes.filter((node): node is Measured => node.joules !== null)
  if (measured.length === 0) {
    const window = `${capmcTime(answer.start)} to ${capmcTime(answer.end)}`
    throw new CapmcError('NO_DATA', `No data in time window ${window}`)
  }
  return { ...answer, measured }
}

function aboutWindow({ start, end, nodes, measured }: MeasuredAnswer) {
  return {
    time: (end.getTime() - start.getTime()) / 1000,
    start_time: start.toISOString(),
    end_time: end.toISOString(),
    nid_count: measured.length,
    nodes_expected: nodes.length,
    nodes_with_data: measured.length,
    energy_total: sumOf(measured),
  }
}

function nodeEnergyAnswer(answer: MeasuredAnswer) {
  return {
    ...aboutWindow(answer),
    nodes: answer.measured.map(({ joules, ...node }) => ({ ...node, energy: Math.round(joules) })),
  }
}

/** energy_std is that of these nodes, not an estimate for others. */
function statisticsAnswer(answer: MeasuredAnswer) {
  const { measured } = answer
  const mean = sumOf(measured) / measured.length
  const squares = measured.reduce((sum, { joules }) => sum + (joules - mean) ** 2, 0)
  const ordered = measured.toSorted((a, b) => a.joules - b.joules)
  const named = (node: Measured | undefined) => node && [node.nid ?? node.xname, node.joules]
  return {
    ...aboutWindow(answer),
    energy_avg: mean,
    energy_std: Math.sqrt(squares / measured.length),
    energy_max: named(ordered.at(-1)),
    energy_min: named(ordered[0]),
  }
}

function counterAnswer(nodes: Awaited<ReturnType<typeof nodeCounters>>) {
  const shown = nodes.flatMap(({ nid, xname, joules, time }) =>
    joules === null || time === null
      ? []
      : [{ nid, xname, energy_ctr: joules, time: capmcTime(time) }],
  )
  if (shown.length === 0) throw new CapmcError('NO_DATA', 'No data in time window of 15 minutes')
  return { nid_count: shown.length, nodes_expected: nodes.length, nodes: shown }
}

function sumOf(nodes: readonly Measured[]): number {
  return nodes.reduce((sum, { joules }) => sum + joules, 0)
}

/** In CAPMC's form, whoever is at fault; only what is ours goes on, to be logged with its stack. */
function refuse(error: unknown, _request: Request, response: Response, next: NextFunction): void {
  if (error instanceof CapmcError) {
    const { status, code, message } = error
    response.status(status).send({ e: 400, err_msg: message, code })
    return
  }
  if (isBodyError(error)) {
    const { status, message } = error
    response.status(status).send({ e: status, err_msg: message, code: 'INVALID_ARGUMENTS' })
    return
  }
  const judged = databaseError(error)
  if (judged === error) {
    next(error)
    return
  }
  if (judged instanceof UnavailableError) {
    response.set('retry-after', String(judged.retryAfterSeconds))
  }
  response.status(500).send({ e: 500, err_msg: judged.message, code: 'PSQL_FAILURE' })
}

/** What express.json throws: no JSON, or too much of it. */
function isBodyError(error: unknown): error is Error & { status: number } {
  return error instanceof Error && 'status' in error && 'type' in error
}
