/** Resources of a made-up Redfish device, by path, for `serveResources`. */
export type RedfishTree = Record<string, unknown>

/** The link to a resource. */
export function link(path: string): { '@odata.id': string } {
  return { '@odata.id': path }
}

/** A collection and its members, by their ids. */
export function collectionOf(path: string, members: Record<string, unknown>): RedfishTree {
  const paths = Object.keys(members).map((id) => `${path}/${id}`)
  return {
    [path]: { Members: paths.map(link) },
    ...Object.fromEntries(Object.entries(members).map(([id, body]) => [`${path}/${id}`, body])),
  }
}

/** What a resource copies of a sensor. */
export function excerpt(DataSourceUri: string, Reading: number | null, more: object = {}) {
  return { DataSourceUri, Reading, ...more }
}
