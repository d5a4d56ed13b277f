import type { z } from 'zod'
import * as schema from './schema.ts'

/** What a user may do; an operation that may end in a ForceOff needs `force`. */
export const rights = ['read', 'cap', 'soft', 'force', 'override', 'audit'] as const
export type Right = (typeof rights)[number]

export interface Route {
  method: 'get' | 'post' | 'patch' | 'delete'
  /** As OpenAPI has it: `/transitions/{id}`. */
  path: string
  summary: string
  /** Undefined: open to all. */
  right: Right | undefined
  query?: z.ZodObject
  body?: z.ZodObject
  /** Whether an Idempotency-Key counts. */
  once?: boolean
  /** By status; undefined: no body. Errors are problem+json and not listed. */
  answers: Record<number, z.ZodType | undefined>
}

/** Every route, with and without `/v1` and under the base path. */
export const routes = {
  listTransitions: {
    method: 'get',
    path: '/transitions',
    summary: 'Transitions, the newest first, without their tasks',
    right: 'read',
    query: schema.transitionsQuery,
    answers: { 200: schema.transitions },
  },
  createTransition: {
    method: 'post',
    path: '/transitions',
    summary: 'Change power; dryRun answers 200 with the plan',
    // What more an operation needs is known with the body.
    right: 'soft',
    body: schema.transitionBody,
    once: true,
    answers: { 200: schema.plan.or(schema.accepted), 202: schema.accepted },
  },
  getTransition: {
    method: 'get',
    path: '/transitions/{id}',
    summary: 'A transition with its tasks',
    right: 'read',
    query: schema.transitionQuery,
    answers: { 200: schema.transitionRecord },
  },
  abortTransition: {
    method: 'delete',
    path: '/transitions/{id}',
    summary: 'Send nothing more; what was sent is not undone',
    right: 'soft',
    answers: { 202: schema.abort },
  },
  getPowerStatus: {
    method: 'get',
    path: '/power-status',
    summary: 'Power states as the devices report them now',
    right: 'read',
    query: schema.powerStatusBody,
    answers: { 200: schema.powerStatus },
  },
  postPowerStatus: {
    method: 'post',
    path: '/power-status',
    summary: 'The same, for more components than fit into a URL',
    right: 'read',
    body: schema.powerStatusBody,
    answers: { 200: schema.powerStatus },
  },
  createSnapshot: {
    method: 'post',
    path: '/power-cap/snapshot',
    summary: 'Read power limits',
    right: 'read',
    body: schema.snapshotBody,
    once: true,
    answers: { 200: schema.plan.or(schema.capAccepted), 202: schema.capAccepted },
  },
  patchPowerCap: {
    method: 'patch',
    path: '/power-cap',
    summary: 'Set power limits, 0 to remove one, and read them back',
    right: 'cap',
    body: schema.patchBody,
    once: true,
    answers: { 200: schema.plan.or(schema.capAccepted), 202: schema.capAccepted },
  },
  listPowerCaps: {
    method: 'get',
    path: '/power-cap',
    summary: 'Tasks of power limits, the newest first, without their components',
    right: 'read',
    query: schema.pageQuery,
    answers: { 200: schema.capTasks },
  },
  getPowerCap: {
    method: 'get',
    path: '/power-cap/{id}',
    summary: 'A task of power limits with its components',
    right: 'read',
    answers: { 200: schema.capRecord },
  },
  getAudit: {
    method: 'get',
    path: '/audit',
    summary: 'Who asked for what, and what was done about it, the newest first. Not in PCS.',
    right: 'audit',
    query: schema.auditQuery,
    answers: { 200: schema.auditRecords },
  },
  getLiveness: {
    method: 'get',
    path: '/liveness',
    summary: 'The process runs',
    right: undefined,
    answers: { 204: undefined },
  },
  getReadiness: {
    method: 'get',
    path: '/readiness',
    summary: 'Requests can be served; else 503',
    right: undefined,
    answers: { 204: undefined, 503: undefined },
  },
  getHealth: {
    method: 'get',
    path: '/health',
    summary: "The parts by PCS's names; what there is none of is disabled",
    right: undefined,
    answers: { 200: schema.health },
  },
  getOpenapi: {
    method: 'get',
    path: '/openapi.json',
    summary: 'This document. Not in PCS.',
    right: undefined,
    answers: { 200: schema.anything },
  },
} as const satisfies Record<string, Route>

export type RouteId = keyof typeof routes
