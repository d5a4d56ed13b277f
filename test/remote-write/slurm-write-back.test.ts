import assert from 'node:assert/strict'
import { changeOf } from '../../remote-write/jobs/slurm/write-back.ts'

const run = { cluster: 'c', jobId: 7, comment: '', joules: '' }
const energy = { joules: 12_345.4, coverage_ratio: 1, method: 'counter' }
const ours = 'pm_energy_j=12345;pm_src=counter;pm_q=complete'

describe("the change of Slurm's accounting", () => {
  const comments: Record<string, [comment: string, change: string | undefined]> = {
    'is a comment where there is none': ['', `AdminComment=${ours}`],
    'is none where the comment is there already': [ours, undefined],
    'keeps what others wrote, and replaces what was ours': [
      'checked by bob;pm_energy_j=1;pm_q=partial;ticket=12',
      `AdminComment=checked by bob;ticket=12;${ours}`,
    ],
    'is none where the comment has what sacctmgr takes for its own': ['a "b", c', undefined],
  }
  for (const [title, [comment, change]] of Object.entries(comments)) {
    it(title, () => assert.equal(changeOf({ ...run, comment }, energy, 'admin_comment'), change))
  }

  it('says when the energy is not of the whole job', () => {
    const change = changeOf(run, { ...energy, coverage_ratio: 0.5 }, 'admin_comment')
    assert.match(change ?? '', /pm_q=partial$/)
  })

  it('is the energy itself where that is asked for and differs', () => {
    assert.equal(changeOf(run, energy, 'tres'), 'TRES=energy=12345')
    assert.equal(changeOf({ ...run, joules: '12345' }, energy, 'tres'), undefined)
  })

  it('is none without a measured energy', () => {
    assert.equal(changeOf(run, { ...energy, joules: null }, 'tres'), undefined)
  })
})
