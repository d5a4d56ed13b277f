import { z } from 'zod'
import { xname } from '../exporter/inventory/static.ts'
import { listenAddress, seconds, secret } from '../exporter/service/settings.ts'
import { rights } from './openapi/routes.ts'

const user = z
  .strictObject({
    name: z.string().min(1).max(200),
    /** A bearer token; read for each request. */
    token: secret.optional(),
    /** Common name of a client certificate. */
    certificate: z.string().min(1).optional(),
    rights: z.array(z.enum(rights)).min(1),
  })
  .refine(({ token, certificate }) => token ?? certificate, 'expected a token or a certificate')

/** Settings of the section `control` for its HTTP API and its power limits. */
export const apiSettings = {
  /** The bearer token of the user `token`, who has all rights. */
  token: secret.optional(),
  /** Who else may do what; without a token and users every request but health is refused. */
  users: z.array(user).default([]),
  /** Where a browser finds the record's page: ours, which switches power, leads there. */
  recordUrl: z.url({ protocol: /^https?$/ }).optional(),
  /** Also with TLS, for who is not on this machine. */
  tls: z
    .strictObject({
      listenAddress,
      /** PEM files; read again when they change. */
      certFile: z.string(),
      keyFile: z.string(),
      /** Who may sign the certificates of clients; without it only tokens count. */
      clientCaFile: z.string().optional(),
      reloadSeconds: seconds.default(10),
    })
    .optional(),
  /** Where the routes are too, such as /apis/power-control; a /v1 at its end is understood. */
  basePath: z
    .string()
    .regex(/^(\/[\w.~-]+)*\/?$/, 'expected a path such as /apis/power-control')
    .transform((path) => path.replace(/\/$/, '').replace(/\/v1$/, ''))
    .default(''),
  /** Answer as PCS: 200 where work is accepted, 404 to a PATCH that it has no route for. */
  pcsCompatible: z.boolean().default(false),
  /** Refuse requests with fields that are not known; PCS ignores them. */
  strict: z.boolean().default(false),
  /** Requests of one user; as many may come at once after a quiet minute. */
  requestsPerMinute: z.number().min(1).default(6000),
  /** Components that a request may name without `confirm`. */
  confirmAbove: z.int().min(0).optional(),
  /** Components that only `override` reaches, and all within them. */
  protected: z.array(z.strictObject({ within: xname, why: z.string().max(200) })).default([]),
  /** Roles of HSM (section discovery) whose components only `override` reaches. */
  protectedRoles: z.array(z.string().min(1)).default(['Management']),
  /** Whether a component on which a job runs is turned off without `allowRunningJobs`. */
  runningJobs: z.enum(['refuse', 'ignore']).default('refuse'),
  /** How long a device may take to show a power limit that it was told; Cray EX: 6 s. */
  capSettleSeconds: seconds.default(20),
}
