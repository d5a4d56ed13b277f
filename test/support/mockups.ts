import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { answer, serveDevice, type TestDevice } from './device.ts'

/** Recorded responses of real devices, beside the repository; see the README there. */
export const mockupFolder = join(dirname(fileURLToPath(import.meta.url)), '../../../shared/mockups')

/** Where each recorded device would stand. A folder without a place here fails a test. */
export const recordedPlaces: Record<string, string> = {
  CMM: 'x1000c0b0',
  EX235a: 'x1000c0s0b0',
  EX425: 'x1000c0s1b0',
  DL325: 'x3000c0s1b0',
  Gigabyte: 'x3000c0s2b1',
  'PDU-ServerTech-JAWS': 'x3000m0',
  'PDU-ServerTech-RTS': 'x3000m1',
  'PDU-HPE': 'x3000m2',
}

/**
 * Lets tests that need the recordings run where they are; skips them, with a line that says so,
 * where they are not. In CI they must be there.
 */
export function describeMockups(title: string, tests: () => void): void {
  if (existsSync(mockupFolder)) {
    describe(title, tests)
    return
  }
  const reason = `${title}: no recorded devices at ${mockupFolder}`
  if (process.env['CI']) {
    describe(title, () => {
      it('has its recorded devices', () => {
        throw new Error(reason)
      })
    })
    return
  }
  process.stderr.write(`skipped: ${reason}\n`)
  describe.skip(title, tests)
}

/** What the device of a folder answered to a GET; throws where it has no such file. */
export async function recorded(kind: string, path: string): Promise<unknown> {
  const file = join(mockupFolder, kind, path.replace(/^\/redfish\/v1/, ''), 'index.json')
  return JSON.parse(await readFile(file, 'utf8'))
}

/** Everything that the device of a folder answered with JSON, by path, but for errors. */
export async function allRecorded(kind: string): Promise<Map<string, unknown>> {
  const files = await readdir(join(mockupFolder, kind), { recursive: true })
  const found = new Map<string, unknown>()
  for (const file of files.filter((each) => each.endsWith('index.json')).sort()) {
    const part = dirname(file) === '.' ? '' : `/${dirname(file)}`
    const path = part.startsWith('/jaws') ? part : `/redfish/v1${part}`
    const body = await recorded(kind, path)
    if (!isRecordedError(body)) found.set(path, body)
  }
  return found
}

/** The folders of devices that speak HTTP. */
export async function recordedKinds(): Promise<string[]> {
  const folders = await readdir(mockupFolder, { withFileTypes: true })
  const names = folders.filter((each) => each.isDirectory()).map(({ name }) => name)
  return names
    .filter(
      (name) =>
        existsSync(join(mockupFolder, name, 'index.json')) ||
        existsSync(join(mockupFolder, name, 'jaws')),
    )
    .sort()
}

/** Where the copy of a node's `/sys/cray/pm_counters` stands. */
export function recordedCounters(node: string): string {
  return join(mockupFolder, 'pm_counters', node)
}

/** Serves the device of a folder (`CMM`, `EX235a`, ..) as the folder's README says. */
export async function serveMockup(kind: string): Promise<TestDevice> {
  const headers = await extraHeaders(kind)
  return await serveDevice(async (request, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    const path = (request.url ?? '').replace(/\/+$/, '')
    if (request.method !== 'GET') answer(response, 405, { error: {} })
    else if (/\.\.|\/\//.test(path)) answer(response, 404, { error: {} })
    else await answerRecorded(kind, path, response)
  })
}

async function answerRecorded(kind: string, path: string, response: ServerResponse) {
  const text = await errorText(kind, path)
  if (text !== undefined) return answerError(text, response)
  const body = await recorded(kind, path).catch(() => elementOf(kind, path))
  const missing = body === undefined || isRecordedError(body)
  answer(response, missing ? 404 : 200, body ?? { error: {} })
}

/** `/jaws/monitor/outlets/AA1`: the element of the list above whose id is AA1. */
async function elementOf(kind: string, path: string): Promise<unknown> {
  if (!path.startsWith('/jaws/')) return undefined
  const list = await recorded(kind, dirname(path)).catch(() => undefined)
  const id = path.split('/').at(-1)
  return Array.isArray(list) ? list.find((element) => element.id === id) : undefined
}

function isRecordedError(body: unknown): boolean {
  if (typeof body !== 'object' || body === null) return false
  return Object.keys(body).length === 1 && 'error' in body
}

async function errorText(kind: string, path: string): Promise<string | undefined> {
  const file = join(mockupFolder, kind, path.replace(/^\/redfish\/v1/, ''), 'error.txt')
  return await readFile(file, 'utf8').catch(() => undefined)
}

/** `HTTP <status>`, headers, an empty line, the body. */
function answerError(text: string, response: ServerResponse): void {
  const end = /\r?\n\r?\n/.exec(text)
  const [first = '', ...lines] = text.slice(0, end?.index).split(/\r?\n/)
  for (const line of lines) {
    const colon = line.indexOf(':')
    if (colon > 0) response.setHeader(line.slice(0, colon), line.slice(colon + 1).trim())
  }
  response.writeHead(Number(first.replace('HTTP ', '')))
  response.end(end ? text.slice(end.index + end[0].length) : '')
}

async function extraHeaders(kind: string): Promise<Record<string, string>> {
  const file = join(mockupFolder, kind, '_headers.json')
  return JSON.parse(await readFile(file, 'utf8').catch(() => '{}'))
}
