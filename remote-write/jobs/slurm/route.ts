import express, { type Express, type RequestHandler } from 'express'
import type { Pool } from 'pg'
import { UnavailableError } from '../../../exporter/service/request-error.ts'
import type { JobEvent } from '../events.ts'
import { parseRecord } from './jobcomp.ts'

export interface JobcompRoute {
  pool: Pool
  /** Guards, and counts the answers. */
  guards: RequestHandler[]
  /** Stores events. */
  take: (events: readonly JobEvent[]) => Promise<unknown>
}

/** A batch script is in the record, of 4 MB at most by default. */
const largestRecord = 16 * 1024 * 1024
/** slurmctld waits for the answer, and does nothing else with its records. */
const patienceMs = 2000

/**
 * Adds `POST /api/v1/jobs/jobcomp`, for Slurm's JobCompLoc. Slurm sends a record again and again,
 * and no other, until it is answered 200: what cannot be understood is kept aside and answered so.
 */
export function addJobcompRoute(app: Express, { pool, guards, take }: JobcompRoute): void {
  const readText = express.text({ type: () => true, limit: largestRecord })
  app.post('/api/v1/jobs/jobcomp', ...guards, readText, async (request, response) => {
    const text = typeof request.body === 'string' ? request.body : ''
    const { events, fault } = understand(text)
    const work = fault === undefined ? take(events) : setAside(pool, fault, text)
    await inTime(work)
    response.send({ accepted: events.length, ...(fault !== undefined && { fault }) })
  })
}

function understand(text: string): { events: JobEvent[]; fault?: string } {
  try {
    return { events: parseRecord(text) }
  } catch (error) {
    return { events: [], fault: (error as Error).message }
  }
}

/** The work goes on if it takes long; what comes twice changes nothing. */
async function inTime(work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const error = new UnavailableError('busy', `not stored within ${patienceMs / 1000} s`)
    timer = setTimeout(() => reject(error), patienceMs)
  })
  work.catch(() => {})
  await Promise.race([work, late]).finally(() => clearTimeout(timer))
}

async function setAside(pool: Pool, fault: string, text: string): Promise<void> {
  const shown = text.replaceAll(/\0|\p{Surrogate}/gu, '\ufffd').slice(0, 65_536)
  await pool.query(
    `with kept as (
       insert into job_record_aside (told_at, fault, record) values (now(), $1, $2)
       returning id
     )
     delete from job_record_aside a using kept k where a.id <= k.id - 1000`,
    [fault.replaceAll('\0', '').slice(0, 1000), shown],
  )
}
