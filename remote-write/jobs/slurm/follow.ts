/** What accounting says at one look of a run that is, or was, suspended; all in seconds. */
export interface Look {
  isSuspended: boolean
  startedAt: number
  /** Slurm's ElapsedRaw, without the time in which it was suspended. */
  elapsed: number
  /** Slurm's Suspended, which grows while it is. */
  suspended: number
}

/** The last look at a run, and the suspension that it is in. */
export interface Followed {
  look: Look
  open?: { since: number; look: Pick<Look, 'elapsed' | 'suspended'> }
}

export interface Edge {
  type: 'suspend' | 'resume'
  /** Seconds since 1970. */
  at: number
}

/**
 * When a run was suspended and resumed since the last look. Accounting shows only for how long it
 * was in all; but while it is suspended its run time stands still, so its start, its run time and
 * what it was suspended before are together the second in which it was halted [22.05]. That is
 * exact with one suspension between two looks. One that was over before the second look nobody
 * knows, and of a run that is suspended at the first look it is only known from then on.
 */
export function follow(
  before: Followed | undefined,
  look: Look,
): { edges: Edge[]; followed: Followed } {
  const open = before?.open
  if (before === undefined || open === undefined) {
    if (!look.isSuspended) return { edges: [], followed: { look } }
    const earlier = before?.look.suspended ?? look.suspended
    const since = look.startedAt + look.elapsed + earlier
    const opened = { since, look: { elapsed: look.elapsed, suspended: earlier } }
    return { edges: [{ type: 'suspend', at: since }], followed: { look, open: opened } }
  }
  if (!look.isSuspended) {
    const at = open.since + look.suspended - open.look.suspended
    return { edges: [{ type: 'resume', at }], followed: { look } }
  }
  if (look.elapsed === open.look.elapsed) return { edges: [], followed: { look, open } }
  // It went on and was suspended again: nobody knows when.
  const [last, now] = [timeOf(before.look), timeOf(look)]
  return {
    edges: [
      { type: 'resume', at: last },
      { type: 'suspend', at: now },
    ],
    followed: { look, open: { since: now, look } },
  }
}

/** Accounting's own time at a look. */
function timeOf({ startedAt, elapsed, suspended }: Look): number {
  return startedAt + elapsed + suspended
}
