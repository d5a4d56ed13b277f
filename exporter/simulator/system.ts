/** The machines of the simulated system: a chassis of a Cray EX cabinet and a standard rack. */
export const chassis = 'x1000c0'
export const rack = 'x3000'
export const cmm = `${chassis}b0`
export const switchControllers = [`${chassis}r1b0`, `${chassis}r3b0`] as const
export const pdus = [`${rack}m0`, `${rack}m1`] as const
export const iloServer = `${rack}c0s17b0`
export const gigabyteServer = `${rack}c0s19b0`

/** What is behind the name of a blade or server: its draw and how it is divided. */
export interface Model {
  name: 'EX235a' | 'EX425' | 'DL325' | 'H262'
  nodesPerController: number
  cores: number
  accelerators: number
  /** Watts when on and without work: all of it, and the parts of its CPU, memory, accelerators. */
  idle: Domains
  /** Watts when off: what its supplies take all the same. */
  standbyWatts: number
  /** A slow rise and fall above idle that the CPU takes also without jobs. */
  ripple: { watts: number; period: number }
}

/** Watts or joules of a node: all of them, and those of its parts, which add up to less. */
export interface Domains {
  node: number
  cpu: number
  memory: number
  accelerator: number
}

export const models = {
  EX235a: {
    name: 'EX235a',
    nodesPerController: 1,
    cores: 128,
    accelerators: 4,
    idle: { node: 560, cpu: 58, memory: 70, accelerator: 340 },
    standbyWatts: 44,
    ripple: { watts: 4, period: 870 },
  },
  EX425: {
    name: 'EX425',
    nodesPerController: 2,
    cores: 128,
    accelerators: 0,
    idle: { node: 208, cpu: 84, memory: 66, accelerator: 0 },
    standbyWatts: 26,
    ripple: { watts: 3, period: 610 },
  },
  DL325: {
    name: 'DL325',
    nodesPerController: 1,
    cores: 16,
    accelerators: 0,
    idle: { node: 96, cpu: 20, memory: 24, accelerator: 0 },
    standbyWatts: 9,
    ripple: { watts: 34, period: 7200 },
  },
  H262: {
    name: 'H262',
    nodesPerController: 1,
    cores: 128,
    accelerators: 0,
    idle: { node: 182, cpu: 70, memory: 48, accelerator: 0 },
    standbyWatts: 14,
    ripple: { watts: 96, period: 5400 },
  },
} as const satisfies Record<string, Model>

/** What has a power switch: a compute node, or a server of the rack, which runs no jobs. */
export interface Machine {
  xname: string
  /** The controller that answers for it, and its place among that controller's nodes. */
  bmc: string
  index: number
  /** The batch system's name of a compute node. */
  node?: string
  model: Model
  /** Its own idle floor: machines of one model differ by a few whole watts. */
  idleWatts: number
}

const bladeModels = [
  models.EX235a,
  models.EX235a,
  models.EX235a,
  models.EX235a,
  models.EX425,
  models.EX425,
  models.EX425,
  models.EX425,
]

/** The node controllers, one a blade, with the model of their blade. */
export const nodeControllers = bladeModels.map((model, slot) => ({
  xname: `${chassis}s${slot}b0`,
  slot,
  model,
}))

/** The compute nodes, nid000001 upward in order of place. */
export const computeNodes: readonly Machine[] = nodeControllers
  .flatMap(({ xname, model }) =>
    Array.from({ length: model.nodesPerController }, (_, index) => ({ bmc: xname, index, model })),
  )
  .map(({ bmc, index, model }, number) => ({
    xname: `${bmc}n${index}`,
    bmc,
    index,
    node: `nid${String(number + 1).padStart(6, '0')}`,
    model,
    idleWatts: model.idle.node + ((number * 5) % 7),
  }))

export const servers: readonly Machine[] = [
  server(iloServer, models.DL325),
  server(gigabyteServer, models.H262),
]

export const machines: readonly Machine[] = [...computeNodes, ...servers]

function server(bmc: string, model: Model): Machine {
  return { xname: `${bmc}n0`, bmc, index: 0, model, idleWatts: model.idle.node }
}
