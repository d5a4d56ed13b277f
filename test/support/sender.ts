import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/** Sends requests from a process of its own, so that it takes no time from the receiver's. */
export interface Sender {
  /** Hands over the bodies, so that `run` does nothing but send. */
  load(bodies: readonly Uint8Array[]): Promise<void>
  /** Posts each body once, and expects 2xx for each. */
  run(url: string, options: SendOptions): Promise<Sent>
  close(): void
}

export interface SendOptions {
  /** As so many shards of a Prometheus: each takes every n-th request, one after the other. */
  inFlight: number
  /** Begins them evenly in time; else each as soon as one before is answered. */
  requestsPerSecond?: number
  contentType?: string
}

export interface Sent {
  /** From the first request to the last answer. */
  seconds: number
  /** Of each request from when it was due, ascending. */
  latenciesMs: number[]
}

export function startSender(): Sender {
  const child = fork(fileURLToPath(import.meta.url), {
    execArgv: ['--import=tsx'],
    serialization: 'advanced',
  })
  return {
    async load(bodies) {
      await ask(child, { clear: true })
      // Some at a time: a message is copied as a whole.
      for (let from = 0; from < bodies.length; from += 100) {
        await ask(child, { bodies: bodies.slice(from, from + 100) })
      }
    },
    run: (url, options) => ask(child, { url, options }),
    close: () => {
      if (child.connected) child.disconnect()
    },
  }
}

async function ask(child: ChildProcess, message: Order): Promise<Sent> {
  const over = new AbortController()
  const answer = once(child, 'message', over)
  const end = once(child, 'exit', over).then(() => [{ error: 'it ended' }])
  child.send(message)
  try {
    const [sent] = (await Promise.race([answer, end])) as [Sent | { error: string }]
    if ('error' in sent) throw new Error(`sender: ${sent.error}`)
    return sent
  } finally {
    over.abort()
    await Promise.allSettled([answer, end])
  }
}

async function send(
  bodies: readonly Uint8Array[],
  url: string,
  {
    inFlight,
    requestsPerSecond = Number.POSITIVE_INFINITY,
    contentType = 'application/x-protobuf',
  }: SendOptions,
): Promise<Sent> {
  const agent = new Agent({ keepAlive: true, maxSockets: inFlight })
  const latenciesMs: number[] = []
  const began = performance.now()
  const shards = Array.from({ length: inFlight }, async (_, shard) => {
    for (let i = shard; i < bodies.length; i += inFlight) {
      const due = began + (i * 1000) / requestsPerSecond
      if (due > began) await sleep(due - performance.now())
      const from = due > began ? due : performance.now()
      await post(url, bodies[i] ?? Buffer.alloc(0), { agent, contentType })
      latenciesMs.push(performance.now() - from)
    }
  })
  await Promise.all(shards)
  const seconds = (performance.now() - began) / 1000
  agent.destroy()
  return { seconds, latenciesMs: latenciesMs.sort((a, b) => a - b) }
}

interface PostOptions {
  agent: Agent
  contentType: string
}

function post(url: string, body: Uint8Array, { agent, contentType }: PostOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': contentType, 'content-encoding': 'snappy' }
    request(url, { method: 'POST', agent, headers }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part) => {
        text += part
      })
      response.on('end', () => {
        const status = response.statusCode ?? 0
        if (status >= 200 && status < 300) resolve()
        else reject(new Error(`${url}: status ${status}: ${text.slice(0, 500)}`))
      })
    })
      .on('error', reject)
      .end(body)
  })
}

type Order =
  | { clear: true }
  | { bodies: readonly Uint8Array[] }
  | { url: string; options: SendOptions }

function serve(): void {
  let loaded: Uint8Array[] = []
  process.on('message', async (order: Order) => {
    if ('url' in order) {
      const answer = send(loaded, order.url, order.options)
      process.send?.(await answer.catch((error: unknown) => ({ error: String(error) })))
      return
    }
    if ('clear' in order) loaded = []
    else loaded.push(...order.bodies)
    process.send?.({ seconds: 0, latenciesMs: [] })
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) serve()
