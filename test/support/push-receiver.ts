import { once } from 'node:events'
import { createServer, type OutgoingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { decodeBody, type ReceivedSeries } from './write-request.ts'

export interface ReceivedSample {
  timeMs: number
  value: number
}

/** A receiver of remote write that keeps what it takes, and answers as it is told. */
export interface PushReceiver {
  url: string
  /** To a request that came whole; one without an answer waits until connections are dropped. */
  answer: () => { status: number; headers?: OutgoingHttpHeaders } | 'no answer'
  /** Requests that got another status than 2xx, and none. */
  refused: number
  unanswered: number
  /** What it took of that metric, in the order in which it came; ends of series left out. */
  samplesOf(metric: string, labels: Record<string, string>): ReceivedSample[]
  /** The same of what it did not take. */
  refusedOf(metric: string, labels: Record<string, string>): ReceivedSample[]
  dropConnections(): void
  close(): Promise<void>
}

export async function startPushReceiver(): Promise<PushReceiver> {
  const taken: ReceivedSeries[] = []
  const refused: ReceivedSeries[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const answer = receiver.answer()
    if (answer === 'no answer') {
      receiver.unanswered++
      return
    }
    const isTaken = answer.status >= 200 && answer.status < 300
    if (!isTaken) receiver.refused++
    const series = await decodeBody(Buffer.concat(chunks))
    if (isTaken) taken.push(...series)
    else refused.push(...series)
    response.writeHead(answer.status, answer.headers).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const receiver: PushReceiver = {
    url: `http://127.0.0.1:${port}/api/v1/write`,
    answer: () => ({ status: 204 }),
    refused: 0,
    unanswered: 0,
    samplesOf: (...wanted) => samplesIn(taken, ...wanted),
    refusedOf: (...wanted) => samplesIn(refused, ...wanted),
    dropConnections: () => server.closeAllConnections(),
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
  return receiver
}

function samplesIn(
  list: readonly ReceivedSeries[],
  metric: string,
  labels: Record<string, string>,
): ReceivedSample[] {
  const wanted = Object.entries({ ...labels, __name__: metric })
  return list
    .filter((series) => {
      const has = new Map(series.labels)
      return wanted.every(([name, value]) => has.get(name) === value)
    })
    .flatMap(({ samples }) => samples)
    .filter(({ value }) => !Number.isNaN(value))
    .map(({ timestamp, value }) => ({ timeMs: timestamp, value }))
}
