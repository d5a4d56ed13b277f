import type { Board } from './board.ts'
import { accounts } from './boards/accounts.ts'
import { cabinet } from './boards/cabinet.ts'
import { control } from './boards/control.ts'
import { job } from './boards/job.ts'
import { jobs } from './boards/jobs.ts'
import { joulebridge } from './boards/joulebridge.ts'
import { node } from './boards/node.ts'
import { rack } from './boards/rack.ts'
import { system } from './boards/system.ts'

/** All dashboards, from the whole to the parts. */
export const boards: readonly Board[] = [
  system,
  cabinet,
  rack,
  node,
  jobs,
  job,
  accounts,
  control,
  joulebridge,
]
