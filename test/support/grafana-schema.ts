import { z } from 'zod'

/*
 * Fields of Grafana's provisioning files, as its documentation has them ("Provision Grafana", "Use
 * configuration files to provision alerting resources") and, for the rules, grafana/grafana,
 * pkg/services/provisioning/alerting/rules_types.go. Other fields would be passed over in silence.
 */

/** Prometheus' own form, by which Grafana parses them. */
const duration = z.string().regex(/^(\d+h)?(\d+m)?(\d+s)?$/)
const range = z.strictObject({ from: z.int(), to: z.int() })

const rule = z
  .strictObject({
    uid: z.string().min(1).max(40),
    title: z.string().min(1).max(190),
    condition: z.string(),
    data: z
      .array(
        z.strictObject({
          refId: z.string(),
          datasourceUid: z.string(),
          relativeTimeRange: range,
          model: z.looseObject({ refId: z.string() }),
        }),
      )
      .min(1),
    dashboardUid: z.string().optional(),
    panelId: z.int().optional(),
    noDataState: z.enum(['OK', 'Alerting', 'NoData', 'KeepLast']),
    execErrState: z.enum(['OK', 'Alerting', 'Error', 'KeepLast']),
    for: duration,
    keepFiringFor: duration.optional(),
    annotations: z.record(z.string(), z.string()),
    labels: z.record(z.string(), z.string()),
  })
  .refine(({ condition, data }) => data.some(({ refId }) => refId === condition), 'no condition')
  .refine(
    ({ annotations: own, dashboardUid, panelId }) =>
      own['__dashboardUid__'] === dashboardUid && own['__panelId__'] === String(panelId),
    'the panel of the annotations is another one',
  )

export const provisioning = {
  alerting: z.strictObject({
    apiVersion: z.literal(1),
    groups: z.array(
      z.strictObject({
        orgId: z.literal(1),
        name: z.string().min(1),
        folder: z.string().min(1),
        // Grafana's scheduler ticks each ten seconds.
        interval: z.string().regex(/^(\d*0s|\d+m)$/),
        rules: z.array(rule).min(1),
      }),
    ),
  }),
  dashboards: z.strictObject({
    apiVersion: z.literal(1),
    providers: z.array(
      z.strictObject({
        name: z.string(),
        orgId: z.int().optional(),
        folder: z.string().optional(),
        type: z.literal('file'),
        disableDeletion: z.boolean(),
        allowUiUpdates: z.literal(false),
        updateIntervalSeconds: z.int().optional(),
        options: z.strictObject({ path: z.string(), foldersFromFilesStructure: z.boolean() }),
      }),
    ),
  }),
  datasources: z.strictObject({
    apiVersion: z.literal(1),
    prune: z.boolean().optional(),
    datasources: z.array(
      z.strictObject({
        name: z.string(),
        uid: z.string().max(40),
        type: z.string(),
        access: z.literal('proxy'),
        url: z.string(),
        user: z.string().optional(),
        isDefault: z.boolean().optional(),
        editable: z.boolean().optional(),
        jsonData: z.record(z.string(), z.unknown()),
        // Secrets come from the environment.
        secureJsonData: z.record(z.string(), z.string().regex(/^\$[A-Z_]+$/)).optional(),
      }),
    ),
  }),
}
