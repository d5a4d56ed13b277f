import assert from 'node:assert/strict'
import fc from 'fast-check'
import { compressNodelist, expandNodelist } from '../../remote-write/jobs/nodelist.ts'
import { cloneDatabase } from '../support/postgres.ts'

/** What `scontrol show hostnames` of Slurm 22.05 prints, but with duplicates removed. */
const expansions: Record<string, string> = {
  nid000001: 'nid000001',
  'nid[000001-000003]': 'nid000001 nid000002 nid000003',
  'nid[000001-000003,000007]': 'nid000001 nid000002 nid000003 nid000007',
  'nid000001,nid000004': 'nid000001 nid000004',
  'nid[000001-000002],login[1-2]': 'nid000001 nid000002 login1 login2',
  'nid[000003,000001,000002]': 'nid000003 nid000001 nid000002',
  'nid[000001,000001-000002]': 'nid000001 nid000002',
  'nid[1-3]': 'nid1 nid2 nid3',
  'nid[01-3]': 'nid01 nid02 nid03',
  'nid[8-12]': 'nid8 nid9 nid10 nid11 nid12',
  'nid[08-12]': 'nid08 nid09 nid10 nid11 nid12',
  'nid[098-102]': 'nid098 nid099 nid100 nid101 nid102',
  'nid[99-101]': 'nid99 nid100 nid101',
  'a[1]': 'a1',
  'a[0-0]': 'a0',
  'NID[1-2]': 'NID1 NID2',
  'n[1-2][3-4]': 'n13 n14 n23 n24',
  'n[0-2]m[0-1]': 'n0m0 n0m1 n1m0 n1m1 n2m0 n2m1',
  'r[1-2]n[01-02]': 'r1n01 r1n02 r2n01 r2n02',
  'x1000c0s0b0n0,x1000c0s0b1n0': 'x1000c0s0b0n0 x1000c0s0b1n0',
}

/** Errors in Slurm 22.05, which takes no text after the last bracket. */
const laterExpansions: Record<string, string> = {
  'nid[000001-000002]-hsn0': 'nid000001-hsn0 nid000002-hsn0',
  'n[1,3-4,10]x': 'n1x n3x n4x n10x',
}

const malformed: Record<string, RegExp> = {
  'nid[5-3]': /nodelist "nid\[5-3\]": range 5-3 falls/,
  'nid[1-': /unbalanced/,
  'nid1-3]': /unbalanced/,
  'nid[1-[2]]': /unbalanced/,
  'nid[]': /"" is not a range/,
  'nid[1,]': /"" is not a range/,
  'nid[a-b]': /"a-b" is not a range/,
  'nid[1-2-3]': /"1-2-3" is not a range/,
  'nid[9999999999999999]': /is not a range/,
  'nid1,,nid2': /empty name/,
  ',nid1': /empty name/,
  'nid1,': /empty name/,
  'nid1 nid2': /has a blank/,
  'nid[000000-999999]': /1000000 names, at most 65536/,
  'n[1-1000][1-1000]': /1000000 names/,
}

describe('expandNodelist', () => {
  for (const [list, names] of Object.entries({ ...expansions, ...laterExpansions })) {
    it(`expands ${list}`, () => assert.deepEqual(expandNodelist(list), names.split(' ')))
  }

  it('is what nodelist_names() of SQL does', async () => {
    const { pool } = await cloneDatabase()
    const lists = [...Object.keys({ ...expansions, ...laterExpansions }), '', 'None assigned']
    const { rows } = await pool.query<{ list: string; names: string[] }>(
      `select l.list, array(select nodelist_names(l.list)) as names
       from unnest($1::text[]) as l (list)`,
      [[...lists, 'x[1000-1001]c0s[0-2]b[0-1]n0,login1']],
    )
    for (const { list, names } of rows) {
      assert.deepEqual([...new Set(names)].sort(), expandNodelist(list).sort(), list)
    }
    assert.equal(rows.length, lists.length + 1)
  })

  it('expands three groups of brackets to the same set as Slurm', () => {
    const names = ['c0s0b0n0', 'c0s0b0n1', 'c1s0b0n0', 'c1s0b0n1'].flatMap((name) => [
      `x1000${name}`,
      `x1000${name.replace('s0', 's1')}`,
    ])
    assert.deepEqual(expandNodelist('x1000c[0-1]s[0-1]b0n[0-1]').sort(), names.sort())
    assert.equal(expandNodelist('x[1000-1001]c0s[0-2]b[0-1]n0').length, 12)
  })

  for (const list of ['', ' ', '(null)', 'None', 'None assigned']) {
    it(`finds no nodes in ${JSON.stringify(list)}`, () =>
      assert.deepEqual(expandNodelist(list), []))
  }

  for (const [list, reason] of Object.entries(malformed)) {
    it(`refuses ${list}`, () => assert.throws(() => expandNodelist(list), reason))
  }

  it('takes as many names as the bound allows', () => {
    assert.equal(expandNodelist('nid[000000-065535]').length, 65_536)
  })
})

describe('compressNodelist', () => {
  const short: Record<string, string> = {
    'nid1 nid2 nid10 nid02': 'nid[1-2,10,02]',
    'nid0001 nid00002': 'nid[0001,00002]',
    nid000001: 'nid000001',
    'nid000001 nid000002 login1': 'nid[000001-000002],login1',
    'login nid1 login': 'login,nid1,login',
    'x1000c0s0b0n0 x1000c0s0b0n1 x1000c0s1b0n0': 'x1000c0s0b0n[0-1],x1000c0s1b0n0',
    '': '',
  }
  for (const [names, list] of Object.entries(short)) {
    it(`shortens ${JSON.stringify(names)}`, () =>
      assert.equal(compressNodelist(names.split(' ').filter(Boolean)), list))
  }

  it('gives back any list of names when expanded', () => {
    const name = fc
      .tuple(fc.constantFrom('nid', 'n', 'x1c', 'a-b', ''), fc.stringMatching(/^\d{1,4}$/))
      .map((parts) => parts.join(''))
    const names = fc.uniqueArray(fc.oneof(name, fc.constantFrom('login', 'gw')))
    fc.assert(
      fc.property(names, (list) => {
        assert.deepEqual(expandNodelist(compressNodelist(list)), list)
      }),
    )
  })
})
