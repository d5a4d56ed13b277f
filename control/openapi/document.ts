import { z } from 'zod'
import { type Route, rights, routes } from './routes.ts'
import * as schema from './schema.ts'

/** The OpenAPI 3.1 document of the routes, made from the schemas that parse the requests. */
export function openapiDocument(version: string, basePath: string): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const [operationId, route] of Object.entries<Route>(routes)) {
    paths[route.path] = { ...paths[route.path], [route.method]: operation(operationId, route) }
  }
  const servers = ['', '/v1', ...(basePath === '' ? [] : [basePath, `${basePath}/v1`])]
  return {
    openapi: '3.1.0',
    info: {
      title: 'Joulebridge power control',
      version,
      description:
        "The API of HPE's Power Control Service, version 1, with additions. Rights of users: " +
        `${rights.join(', ')}.`,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: servers.map((url) => ({ url: url || '/' })),
    security: [{ bearer: [] }, { certificate: [] }],
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        certificate: { type: 'mutualTLS' },
      },
      schemas: { Problem: json(schema.problem, 'output') },
      responses: {
        Problem: {
          description: 'Why not (RFC 9457)',
          content: {
            'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
          },
        },
      },
    },
  }
}

function operation(operationId: string, route: Route): object {
  const { summary, right, body, answers } = route
  const responses = Object.entries(answers).map(([status, answer]) => [
    status,
    { description: descriptions[status], ...(answer && content(json(answer, 'output'))) },
  ])
  return {
    operationId,
    summary,
    ...(right === undefined ? { security: [] } : { 'x-right': right }),
    parameters: parameters(route),
    ...(body && { requestBody: { required: true, ...content(json(body, 'input')) } }),
    responses: {
      ...Object.fromEntries(responses),
      default: { $ref: '#/components/responses/Problem' },
    },
  }
}

const descriptions: Record<string, string> = {
  200: 'Done, or in PCS-compatible mode accepted',
  202: 'Accepted and durable',
  204: 'Yes',
  503: 'No',
}

function parameters({ path, query, once }: Route): object[] {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string', format: 'uuid' },
  }))
  const inQuery = Object.entries(query?.shape ?? {}).map(([name, each]) => ({
    name,
    in: 'query',
    schema: json(each as z.ZodType, 'input'),
  }))
  const key = {
    name: 'Idempotency-Key',
    in: 'header',
    description: 'The same key and body again: the same answer, and nothing is done twice.',
    schema: { type: 'string', minLength: 1, maxLength: 255 },
  }
  return [...inPath, ...inQuery, ...(once ? [key] : [])]
}

function content(schema: object): object {
  return { content: { 'application/json': { schema } } }
}

function json(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' })
  return rest
}
