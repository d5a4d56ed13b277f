import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fetch from 'node-fetch'
import type { Service } from '../../exporter/service/http.ts'
import { getJson } from '../support/jobs.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { startRecordWith } from '../support/slurm-record.ts'

interface Document {
  openapi: string
  paths: Record<string, Record<string, { requestBody?: { content: Record<string, Content> } }>>
}

interface Content {
  schema?: { properties: { events: { items: { oneOf: { required: string[] }[] } } } }
}

const folder = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'remote-write')

/** What the built-in page draws is no promise to anybody. */
const unpromised = /^get \/api\/v1\/(overview|nodes|alerts|runbooks)/

/** The routes that the sources add, as `get /api/v1/jobs/{id}`. */
function addedRoutes(): string[] {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  const sources = files.filter((file) => file.endsWith('.ts')).map((file) => join(folder, file))
  return sources.flatMap((file) => {
    const routes = readFileSync(file, 'utf8').matchAll(/app\.(get|post)\('(\/api\/[^']*)'/g)
    return [...routes].map(([, method, path = '']) => {
      return `${method} ${path.replace(/:(\w+)/g, '{$1}')}`
    })
  })
}

describe("the record's OpenAPI document", () => {
  let service: Service
  let document: Document

  before(async () => {
    service = await startRecordWith((await cloneDatabase()).url, {})
    document = await getJson<Document>(service, '/api/v1/openapi.json')
  })

  after(() => service.close())

  const operations = () =>
    Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => [method, path] as const),
    )

  it('has every route that is promised, and no other', () => {
    assert.equal(document.openapi, '3.1.0')
    assert.deepEqual(
      operations()
        .map((each) => each.join(' '))
        .sort(),
      addedRoutes()
        .filter((route) => !unpromised.test(route))
        .sort(),
    )
  })

  it('names routes that answer', async () => {
    for (const [method, path] of operations()) {
      const url = service.url + path.replace('{id}', '7')
      const answer = await (await fetch(url, { method })).text()
      assert.doesNotMatch(answer, /no route/, `${method} ${path}`)
    }
  })

  it('says what an event must have', () => {
    const { content } = document.paths['/api/v1/jobs/events']?.['post']?.requestBody ?? {}
    const kinds = content?.['application/json']?.schema?.properties.events.items.oneOf ?? []
    assert.deepEqual(
      kinds.map(({ required }) => required.toSorted().join(' ')),
      [
        'cluster job_id nodelist time type',
        'cluster job_id time type',
        'cluster job_id nodelist time told_at type',
        'cluster job_id time type',
        'cluster job_id time type',
      ],
    )
  })
})
