/**
 * xnames: the names of places in a Cray EX system, such as `x1000c0s3b0n0`. Which Redfish resource
 * has which name: HPE's hms-xname and docs-csm, "Component Names (xnames)".
 */
export interface Xname {
  type: XnameType
  text: string
}

/** The kinds of place that Joulebridge names, with their form; the first letter group is `x`. */
const forms = {
  Cabinet: 'x',
  CEC: 'xe',
  Chassis: 'xc',
  ChassisBMC: 'xcb',
  CMMRectifier: 'xct',
  ComputeModule: 'xcs',
  NodeEnclosure: 'xcse',
  NodeBMC: 'xcsb',
  Node: 'xcsbn',
  Processor: 'xcsbnp',
  Memory: 'xcsbnd',
  NodeAccel: 'xcsbna',
  RouterModule: 'xcr',
  RouterBMC: 'xcrb',
  HSNConnector: 'xcrj',
  CabinetPDUController: 'xm',
  CabinetPDU: 'xmp',
  CabinetPDUPowerConnector: 'xmpv',
  CabinetPDUOutlet: 'xmpj',
} as const

export type XnameType = keyof typeof forms

const typeOfForm = new Map<string, XnameType>(
  Object.entries(forms).map(([type, form]) => [form, type as XnameType]),
)

/**
 * Parses an xname; case and leading zeros are normalised (`X1000C0S03` is `x1000c0s3`).
 * @throws {Error} naming the text, when it is no xname of a known form.
 */
export function parseXname(text: string): Xname {
  const parts = text.toLowerCase().match(/[a-z]\d{1,5}/g) ?? []
  const form = parts.map((part) => part[0]).join('')
  const type = typeOfForm.get(form)
  if (type === undefined || parts.join('').length !== text.length) {
    throw new Error(`${JSON.stringify(text)} is not an xname`)
  }
  return { type, text: parts.map((part) => `${part[0]}${Number(part.slice(1))}`).join('') }
}

export function isXname(text: string): boolean {
  try {
    return parseXname(text) !== undefined
  } catch {
    return false
  }
}

/** The place around `xname`: `x1000c0s3b0n0` -> `x1000c0s3b0`; undefined for a cabinet. */
export function parentXname(xname: string): string | undefined {
  const parent = xname.replace(/[a-z]\d+$/, '')
  return parent === '' ? undefined : parent
}

/** Whether `inner` is `outer` or lies within it; `x1` does not contain `x1000`. */
export function xnameContains(outer: string, inner: string): boolean {
  return inner === outer || (inner.startsWith(outer) && !/^\d/.test(inner.slice(outer.length)))
}

/** Orders by place, numbers by value: `x1000c0s2` before `x1000c0s10`. */
export function compareXnames(a: string, b: string): number {
  return collator.compare(a, b)
}

const collator = new Intl.Collator('en', { numeric: true })
