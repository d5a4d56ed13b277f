import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Pool } from 'pg'
import { cloneDatabase } from '../support/postgres.ts'

const file = fileURLToPath(new URL('../fixtures/schema.txt', import.meta.url))

/** Tables and views, partitions left out, that are ours. */
const relations = `
  select c.oid, c.relname, c.relkind
  from pg_class c
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v')
    and not c.relispartition`

describe('the schema of the database', () => {
  let pool: Pool

  before(async () => {
    pool = (await cloneDatabase()).pool
  })

  it('is the one of test/fixtures/schema.txt', async () => {
    const found = [...(await describeRelations(pool)), ...(await describeFunctions(pool))].join('')
    if (process.env['UPDATE']) writeFileSync(file, found)
    const expected = existsSync(file) ? readFileSync(file, 'utf8') : ''
    const renew = 'renew it: UPDATE=1 npx mocha test/remote-write/golden-schema.test.ts'
    assert.equal(found, expected, renew)
  })

  it('has a comment on every table, view, column and function', async () => {
    const { rows } = await pool.query<{ name: string }>(
      `select r.relname || coalesce('.' || a.attname, '') as name
       from (${relations}) r
       left join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
       where col_description(r.oid, a.attnum) is null or obj_description(r.oid, 'pg_class') is null
       union all
       select p.proname from pg_proc p
       where p.pronamespace = 'public'::regnamespace and obj_description(p.oid, 'pg_proc') is null
       order by 1`,
    )
    assert.deepEqual(
      rows.map(({ name }) => name),
      [],
    )
  })
})

async function describeRelations(pool: Pool): Promise<string[]> {
  const { rows } = await pool.query<{ text: string }>(
    `select format(E'%s %s\\n  %s\\n%s%s\\n',
       case r.relkind when 'v' then 'view' else 'table' end
         || coalesce(' partitioned by ' || pg_get_partkeydef(r.oid), ''),
       r.relname, obj_description(r.oid, 'pg_class'), columns.text, rules.text) as text
     from (${relations}) r
     cross join lateral (
       select string_agg(
         format(E'  %s %s%s%s  -- %s\\n', a.attname, format_type(a.atttypid, a.atttypmod),
           case when a.attnotnull then ' not null' else '' end,
           case when a.attidentity <> '' then ' identity'
             else coalesce(case when a.attgenerated = '' then ' default ' else ' generated as ' end
               || pg_get_expr(d.adbin, d.adrelid), '') end,
           col_description(r.oid, a.attnum)),
         '' order by a.attnum) as text
       from pg_attribute a
       left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
       where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
     ) columns
     cross join lateral (
       select coalesce(string_agg(format(E'  %s\\n', rule.text), '' order by rule.text), '') as text
       from (
         select pg_get_constraintdef(k.oid) from pg_constraint k
         where k.conrelid = r.oid and k.contype <> 'n'
         union all
         select regexp_replace(pg_get_indexdef(i.indexrelid), ' ON (ONLY )?public\\.', ' ON ')
         from pg_index i
         where i.indrelid = r.oid
           and not exists (select from pg_constraint k where k.conindid = i.indexrelid)
       ) rule (text)
     ) rules
     order by r.relname`,
  )
  return rows.map(({ text }) => text)
}

async function describeFunctions(pool: Pool): Promise<string[]> {
  const { rows } = await pool.query<{ text: string }>(
    `select format(E'function %s(%s)\\n  returns %s, %s%s\\n  %s\\n\\n',
       p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
       case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
       case when p.prosecdef then ', with the rights of its owner' else '' end,
       obj_description(p.oid, 'pg_proc')) as text
     from pg_proc p
     where p.pronamespace = 'public'::regnamespace
     order by p.proname, pg_get_function_arguments(p.oid)`,
  )
  return rows.map(({ text }) => text)
}
