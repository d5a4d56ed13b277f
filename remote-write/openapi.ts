import type { Express } from 'express'
import { z } from 'zod'
import manifest from '../package.json' with { type: 'json' }
import { eventsBody } from './jobs/events.ts'

interface Operation {
  method: 'get' | 'post'
  path: string
  summary: string
  /** Parameters of the query, and what each means. */
  query?: Record<string, string>
  body?: { type: string; schema?: z.ZodType }
  /** What it answers when all is well. */
  answer?: string
  status?: number
  /** Only who has `remote_write.token`, or this machine where there is none. */
  guarded?: boolean
}

const cluster = {
  cluster: 'Needed where several clusters have a job of this number.',
  at: 'Where the number was used again: the latest of its jobs that began by this time.',
}
const days = { from: 'The first day, such as 2026-11-22.', to: 'The last day.' }
const protobuf = { type: 'application/x-protobuf' }

/** The API for programs: not what the built-in page draws, nor CAPMC's, which HPE describes. */
const operations: readonly Operation[] = [
  {
    ...{ method: 'post', path: '/api/v1/write', body: protobuf, status: 204 },
    summary: 'Remote write 1.0 and 2.0: 204 when all is on disk.',
  },
  {
    ...{ method: 'post', path: '/api/v1/read', body: protobuf, answer: 'application/x-protobuf' },
    summary: 'Remote read: samples or streamed chunks.',
  },
  {
    ...{ method: 'post', path: '/api/v1/jobs/events', guarded: true },
    summary:
      'What happened to jobs. All events of a request are stored, or none. ' +
      'They may be sent again, and in any order.',
    body: { type: 'application/json', schema: eventsBody },
  },
  {
    ...{ method: 'post', path: '/api/v1/jobs/jobcomp', guarded: true },
    summary: "A record of Slurm's jobcomp/elasticsearch; 200 also when it can never be understood.",
    body: { type: 'application/json' },
  },
  {
    ...{ method: 'get', path: '/api/v1/jobs' },
    summary: 'Jobs with their energy.',
    query: {
      state: 'running or ended.',
      user: 'Login name.',
      cluster: 'Name of the cluster.',
      since: 'Only jobs that run, or ended at this time or later.',
      until: 'Only jobs that started before.',
      search: 'Words, each in its number, user, account, name or state.',
      xname: 'Only jobs that held this node.',
      sort: 'start: those that started last first; energy: those that used most first.',
      limit: 'At most so many, 1 to 500.',
    },
  },
  { method: 'get', path: '/api/v1/jobs/{id}', summary: 'One job with its energy.', query: cluster },
  {
    ...{ method: 'get', path: '/api/v1/jobs/{id}/energy', query: cluster },
    summary: 'The energy of a job, in all and of each node.',
  },
  {
    ...{ method: 'get', path: '/api/v1/jobs/{id}/energy/readings' },
    summary: 'The counters and powers that the energy of a job is computed from.',
    query: { ...cluster, format: 'json, csv, or explain for people.' },
  },
  {
    ...{ method: 'get', path: '/api/v1/jobs/{id}/energy/parts', query: cluster },
    summary: 'The energy of the parts of a job.',
  },
  {
    ...{ method: 'get', path: '/api/v1/energy/accounts' },
    summary: 'Energy by day, user and account.',
    query: { ...days, format: 'json or csv.' },
  },
  { method: 'get', path: '/api/v1/storage', summary: 'How large the record is, and what of it.' },
  { method: 'get', path: '/api/v1/openapi.json', summary: 'This document.' },
]

/** Adds the OpenAPI 3.1 document of the record's own API. */
export function addOpenapi(app: Express): void {
  const document = openapiDocument()
  app.get('/api/v1/openapi.json', (_request, response) => {
    response.send(document)
  })
}

function openapiDocument(): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const each of operations) {
    paths[each.path] = { ...paths[each.path], [each.method]: described(each) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Joulebridge record',
      version: manifest.version,
      description: 'Samples of power and energy, jobs, and the energy of jobs.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'remote_write.token' },
        basic: { type: 'http', scheme: 'basic', description: 'any name, and that token' },
      },
      schemas: { Problem: problem },
    },
  }
}

function described({
  summary,
  path,
  query = {},
  body,
  answer,
  status,
  guarded,
}: Operation): object {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => {
    return { name, in: 'path', required: true, schema: { type: 'string' } }
  })
  const inQuery = Object.entries(query).map(([name, description]) => {
    return { name, in: 'query', description, schema: { type: 'string' } }
  })
  const content = status === 204 ? {} : { content: { [answer ?? 'application/json']: {} } }
  return {
    summary,
    // Without a token in the settings none is needed on this machine.
    ...(guarded && { security: [{ bearer: [] }, { basic: [] }, {}] }),
    parameters: [...inPath, ...inQuery],
    ...(body && { requestBody: { required: true, content: { [body.type]: bodySchema(body) } } }),
    responses: {
      [status ?? 200]: { description: 'All is well.', ...content },
      default: {
        description: 'Why not (RFC 9457).',
        content: {
          'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
        },
      },
    },
  }
}

function bodySchema({ schema }: NonNullable<Operation['body']>): object {
  return schema ? { schema: z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) } : {}
}

const text = { type: 'string' }
const problem = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail'],
  properties: { type: text, title: text, status: { type: 'integer' }, detail: text, code: text },
}
