/** Leads to what the page knows of a place. */
export function PlaceLink({ xname }: { xname: string }) {
  return <a href={placePath(xname)}>{xname}</a>
}

export function placePath(xname: string): string {
  const view = /^x\d+c\d+s\d+b\d+n\d+$/.test(xname) ? 'nodes' : 'places'
  return `#/${view}/${encodeURIComponent(xname)}`
}

/** Whether a place is that of `outer` or in it: x1000c0 is within x1000, x10000 is not. */
export function isWithin(xname: string, outer: string): boolean {
  return xname.startsWith(outer) && !/^\d/.test(xname.slice(outer.length))
}

/** The place and all around it, the widest first: x1000, x1000c0, x1000c0s1. */
export function around(xname: string): string[] {
  const parts = xname.match(/[a-z]+\d+/g) ?? [xname]
  return parts.map((_, i) => parts.slice(0, i + 1).join(''))
}
