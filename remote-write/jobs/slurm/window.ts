import { mkdir, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import { replaceFile } from '../../../exporter/service/directory.ts'
import type { SlurmSettings } from './settings.ts'

const instant = z.iso.datetime({ offset: true }).transform((text) => new Date(text))
const cursorFile = z.object({ read_until: instant, told_at: instant })

/** How far accounting was read, and when the last of it was told. */
export interface Cursor {
  readUntil: Date
  toldAt: Date
}

/**
 * The kept cursor; none at the first start.
 * @throws {Error} when the file holds something else.
 */
export async function readCursor(file: string): Promise<Cursor | undefined> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (text === undefined) return undefined
  try {
    const { read_until, told_at } = cursorFile.parse(JSON.parse(text))
    return { readUntil: read_until, toldAt: told_at }
  } catch (cause) {
    throw new Error(`cursor file ${file}: is not one; delete it to read anew`, { cause })
  }
}

export async function writeCursor(file: string, { readUntil, toldAt }: Cursor): Promise<void> {
  await mkdir(dirname(file), { recursive: true })
  await replaceFile(file, JSON.stringify({ read_until: readUntil, told_at: toldAt }))
}

/** What the poller remembers while it runs. */
export interface Memory {
  cursor: Cursor | undefined
  /** When accounting was last read again at length. */
  rereadAt?: Date
  /** Where it was read to when it last went silent, and until when it is read again from there. */
  held?: { from: Date; until: Date }
}

/** So often accounting is read again at length, and so long after an outage from its beginning. */
const rereadEveryMs = 60 * 60 * 1000
const holdMs = 30 * 60 * 1000

/**
 * Where the next reading begins, and whether it is a long one. A clock that was set back takes the
 * beginning with it.
 */
export function windowStart(
  { cursor, rereadAt, held }: Memory,
  settings: SlurmSettings['poll'],
  now: Date,
): { from: Date; long: boolean } {
  if (cursor === undefined) return { from: before(now, settings.backfillSeconds), long: true }
  const starts = [before(earlier(cursor.readUntil, now), settings.overlapSeconds)]
  const since = rereadAt === undefined ? undefined : now.getTime() - rereadAt.getTime()
  const long = since === undefined || since >= rereadEveryMs || since < 0
  if (long) starts.push(before(now, settings.rereadSeconds))
  if (held && now < held.until) starts.push(before(held.from, settings.overlapSeconds))
  return { from: starts.reduce(earlier), long }
}

/**
 * The memory after a poll failed: slurmctld keeps what it could not tell slurmdbd either, and tells
 * it some time after both are back.
 */
export function afterFailure(memory: Memory, now: Date): Memory {
  const reached = memory.cursor?.readUntil ?? now
  const from = memory.held && now < memory.held.until ? memory.held.from : reached
  return { ...memory, held: { from: earlier(from, now), until: before(now, -holdMs / 1000) } }
}

/** Stretches of at most a day, in order, that together are [from, to). */
export function daySlices(from: Date, to: Date): { from: Date; to: Date }[] {
  const dayMs = 86_400_000
  const count = Math.max(1, Math.ceil((to.getTime() - from.getTime()) / dayMs))
  return Array.from({ length: count }, (_, i) => {
    const start = new Date(from.getTime() + i * dayMs)
    return { from: start, to: earlier(new Date(start.getTime() + dayMs), to) }
  })
}

function before(time: Date, seconds: number): Date {
  return new Date(time.getTime() - seconds * 1000)
}

function earlier(a: Date, b: Date): Date {
  return a < b ? a : b
}
