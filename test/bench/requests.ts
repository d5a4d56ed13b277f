import { compressSync } from 'snappy'
import { writeRequest } from '../support/remote-write.ts'
import { requestV2 } from '../support/remote-write-v2.ts'

export type Version = '1.0' | '2.0'

export interface Shape {
  /** A multiple of 2000. */
  series: number
  /** Series that share a target, and with it job, instance and time. */
  perTarget: number
  /** Series are spread over all requests, instead of target after target. */
  shuffled?: boolean
  version?: Version
}

/** Series of a request: Prometheus' default. */
const perRequest = 2000

const stepMs = 250

/**
 * Times that go on from round to round, so many until now. They may reach an hour back: older ones
 * could belong to a window that is compacted.
 */
export class Steps {
  #nextMs: number

  constructor(count: number) {
    const spanMs = count * stepMs
    if (spanMs > 3_500_000) throw new Error(`${count} steps reach back more than an hour`)
    this.#nextMs = Math.floor(Date.now() / 1000) * 1000 - spanMs
  }

  /** The time that `take` gives next. */
  get nextMs(): number {
    return this.#nextMs
  }

  take(count: number): number[] {
    const from = this.#nextMs
    this.#nextMs += count * stepMs
    return Array.from({ length: count }, (_, i) => from + i * stepMs)
  }
}

/** Stands for a value that is yet to come, and is followed by the time. */
const placeholder = '7ff8a5a5c3c3e1e1'
const placeholderBytes = Buffer.from(placeholder, 'hex').reverse()

/** Requests to send, as snappy blocks. */
export interface Load {
  bodies: Buffer[]
  /** In all of them. */
  samples: number
  version: Version
}

/** One body for each 2000 series, one sample each, as remote write sends them at one time. */
export class Requests {
  readonly #templates: Template[]
  readonly #version: Version
  /** The numbers of the series as they stand in the requests. */
  readonly order: readonly number[]

  constructor({ series, perTarget, shuffled = false, version = '1.0' }: Shape) {
    const count = series / perRequest
    this.#version = version
    const encode = version === '1.0' ? writeRequest : requestV2
    this.order = Array.from({ length: series }, (_, i) =>
      shuffled ? (i % perRequest) * count + Math.floor(i / perRequest) : i,
    )
    this.#templates = Array.from({ length: count }, (_, request) => {
      const members = this.order.slice(request * perRequest, (request + 1) * perRequest)
      const parts = members.map((i) => ({ labels: labelsOf(i, perTarget), samples: [sample] }))
      return new Template(encode(parts))
    })
  }

  /** All series at each of these times, one time after the other. */
  load(times: readonly number[]): Load {
    const bodies = times.flatMap((timeMs) => this.#templates.map((template) => template.at(timeMs)))
    return { bodies, samples: bodies.length * perRequest, version: this.#version }
  }
}

/** A time of as many bytes as every time from 2004 on. */
const sample = [2 ** 41, placeholder] as const

/** A request whose values and times are written over; they all have the same length. */
class Template {
  readonly #body: Buffer
  readonly #places: number[] = []

  constructor(body: Buffer) {
    this.#body = body
    for (let at = body.indexOf(placeholderBytes); at >= 0; ) {
      this.#places.push(at)
      at = body.indexOf(placeholderBytes, at + 8)
    }
  }

  at(timeMs: number): Buffer {
    const step = timeMs / stepMs
    const time = varint(timeMs)
    for (const [i, at] of this.#places.entries()) {
      this.#body.writeDoubleLE(200 + ((i * 7919 + step * 104_729) % 997) / 10, at)
      this.#body.set(time, at + 9)
    }
    return compressSync(this.#body)
  }
}

function varint(value: number): Buffer {
  const bytes = Buffer.alloc(6)
  for (let i = 0; i < 6; i++) bytes[i] = (Math.floor(value / 128 ** i) % 128) | (i < 5 ? 128 : 0)
  return bytes
}

/** Twelve labels, as the exporter's series have. */
function labelsOf(i: number, perTarget: number): Record<string, string> {
  const target = Math.floor(i / perTarget)
  const node = Math.floor(i / 40)
  const xname = `x${1000 + (node >> 8)}c${node % 8}s${(node >> 3) % 8}b${(node >> 6) % 2}n${node}`
  return {
    __name__: `cray_sensor_${i % 40}_watts`,
    ...{ job: 'exporter', instance: `x${target}`, xname, bmc: xname.replace(/n\d+$/, '') },
    ...{ chassis: 'Enclosure', sensor: `Sensor ${i % 40}`, source: 'redfish', cabinet: 'x1000' },
    ...{ cluster: 'alps', location: 'Input', phase: 'L1' },
  }
}

export const contentTypes = {
  '1.0': 'application/x-protobuf',
  '2.0': 'application/x-protobuf;proto=io.prometheus.write.v2.Request',
}
