import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import pg from 'pg'
import { isLocked } from './sqlstate.ts'

const migrationsFolder = new URL('./migrations/', import.meta.url)
const functionsFolder = new URL('./functions/', import.meta.url)

/**
 * Brings the database to this program's schema: the files of migrations/ that it lacks, each in a
 * transaction of its own, then all of functions/ anew in one, unless they are there already. Any
 * number of processes may call it at once: one works, the others wait for it. `warn` hears what
 * the database warns of.
 * @throws {Error} when the server is too old, an applied migration was changed since, or the schema
 * is newer than the program; PostgreSQL's own error, with the file's name, when a statement fails.
 */
export async function migrate(
  url: string,
  warn: (warning: string) => void = () => {},
): Promise<void> {
  const client = new pg.Client({ connectionString: url, application_name: 'joulebridge migrate' })
  client.on('error', () => {})
  client.on('notice', ({ severity, message }) => {
    if (severity === 'WARNING') warn(message ?? '')
  })
  await client.connect()
  try {
    await client.query('select pg_advisory_lock($1)', [migrationLock])
    await checkServer(client)
    await applyMigrations(client)
    await applyFunctions(client)
  } finally {
    await client.end()
  }
}

/**
 * Resolves when the database has exactly the schema of this program.
 * @throws {Error} naming both versions, or PostgreSQL's own when it can't be asked.
 */
export async function checkSchema(db: Pick<pg.Pool, 'query'>): Promise<void> {
  const wanted = await latestVersion()
  const found = await db.query<{ version: number | null }>(
    'select max(version) as version from schema_migration',
  )
  const version = found.rows[0]?.version ?? 0
  if (version !== wanted) {
    throw new Error(`the database has schema version ${version}, this program ${wanted}`)
  }
}

/** Any constant serves, as long as nothing else in the database locks the same number. */
const migrationLock = 8_021_120_501

interface Migration {
  version: number
  name: string
  text: string
  sha256: string
}

async function checkServer(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ number: number; version: string; encoding: string }>(
    `select current_setting('server_version_num')::int4 as number,
       current_setting('server_version') as version,
       current_setting('server_encoding') as encoding`,
  )
  const { number = 0, version, encoding } = rows[0] ?? {}
  if (number < leastMajor * 10_000) {
    throw new Error(`the server is PostgreSQL ${version}: ${leastMajor} is the least`)
  }
  if (encoding !== 'UTF8') {
    throw new Error(`the database's encoding is ${encoding}: labels need UTF8`)
  }
}

/** The oldest PostgreSQL that the tests were run on. */
const leastMajor = 13

async function applyMigrations(client: pg.Client): Promise<void> {
  await client.query(`
    create table if not exists schema_migration (
      version int4 primary key,
      name text not null,
      sha256 text not null,
      applied_at timestamptz not null default now()
    )`)
  await addFunctionsHash(client)
  const migrations = await readMigrations()
  const applied = await appliedMigrations(client)
  checkApplied(migrations, applied)
  for (const migration of migrations) {
    if (!applied.has(migration.version)) await applyMigration(client, migration)
  }
}

/** Databases of the first version lack the column; asking first spares the others a lock. */
async function addFunctionsHash(client: pg.Client): Promise<void> {
  const { rowCount } = await client.query(
    `select from pg_attribute
     where attrelid = 'schema_migration'::regclass and attname = 'functions_sha256'`,
  )
  if (rowCount === 0) {
    await client.query('alter table schema_migration add column functions_sha256 text')
  }
}

async function appliedMigrations(client: pg.Client): Promise<Map<number, Applied>> {
  const { rows } = await client.query<Applied>(
    'select version, name, sha256 from schema_migration order by version',
  )
  return new Map(rows.map((row) => [row.version, row]))
}

type Applied = Omit<Migration, 'text'>

function checkApplied(migrations: readonly Migration[], applied: Map<number, Applied>): void {
  const known = new Map(migrations.map((migration) => [migration.version, migration]))
  for (const { version, name, sha256 } of applied.values()) {
    const migration = known.get(version)
    if (!migration) {
      throw new Error(
        `the database has migration ${name}, which this program does not know: it is newer, ` +
          'start the program that made it or a later one',
      )
    }
    if (migration.sha256 !== sha256) {
      throw new Error(
        `migration ${migration.name} was changed after it was applied: ` +
          `sha256 ${sha256} in the database, ${migration.sha256} in the program`,
      )
    }
  }
}

function applyMigration(client: pg.Client, { version, name, text, sha256 }: Migration) {
  return inTransaction(client, name, async () => {
    await client.query(text)
    await client.query('insert into schema_migration (version, name, sha256) values ($1, $2, $3)', [
      version,
      name,
      sha256,
    ])
  })
}

/**
 * Replacing views locks out all who read them, and may meet them in a deadlock: only what is new
 * is worth that, and another try. The latest migration's row says what is there.
 */
async function applyFunctions(client: pg.Client): Promise<void> {
  const files = await readSqlFiles(functionsFolder)
  const sha256 = sha256Of(files.map(({ name, text }) => `${name}\n${text}`).join('\n'))
  const { rowCount } = await client.query(
    `select from schema_migration
     where version = (select max(version) from schema_migration) and functions_sha256 = $1`,
    [sha256],
  )
  for (let tries = 1; rowCount === 0; tries++) {
    try {
      return await replaceFunctions(client, files, sha256)
    } catch (error) {
      if (tries === 20 || !(error instanceof Error && isLocked(error.cause))) throw error
      await client.query('rollback')
    }
  }
}

async function replaceFunctions(
  client: pg.Client,
  files: readonly SqlFile[],
  sha256: string,
): Promise<void> {
  let isComplete = true
  const onNotice = ({ severity }: NoticeMessage) => {
    // What could not be done now is tried again at the next start.
    if (severity === 'WARNING') isComplete = false
  }
  await client.query('begin')
  client.on('notice', onNotice)
  for (const { name, text } of files) {
    await client.query(text).catch((cause: unknown) => {
      client.off('notice', onNotice)
      fail(name, cause)
    })
  }
  client.off('notice', onNotice)
  await client.query(
    `update schema_migration set functions_sha256 = $1
     where version = (select max(version) from schema_migration)`,
    [isComplete ? sha256 : null],
  )
  await client.query('commit')
}

type NoticeMessage = { severity: string | undefined }

async function inTransaction(
  client: pg.Client,
  name: string,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await client.query('begin')
    await work()
    await client.query('commit')
  } catch (cause) {
    fail(name, cause)
  }
}

/** The caller ends the connection on any failure, which rolls its transaction back. */
function fail(name: string, cause: unknown): never {
  const reason = cause instanceof Error ? cause.message : String(cause)
  throw new Error(`${name}: ${reason}`, { cause })
}

async function latestVersion(): Promise<number> {
  const last = (await sqlFileNames(migrationsFolder)).at(-1)
  return last === undefined ? 0 : versionOf(last)
}

async function readMigrations(): Promise<Migration[]> {
  const files = await readSqlFiles(migrationsFolder)
  const migrations = files.map(({ name, text }) => ({
    version: versionOf(name),
    name,
    text,
    sha256: sha256Of(text),
  }))
  const twice = migrations.find(({ version }, i) => version === migrations[i + 1]?.version)
  if (twice) throw new Error(`${twice.name}: another migration has the same number`)
  return migrations
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function versionOf(name: string): number {
  const digits = /^(\d{4})_[a-z0-9_]+\.sql$/.exec(name)?.[1]
  if (digits === undefined) throw new Error(`${name}: expected a name like 0001_series.sql`)
  return Number(digits)
}

interface SqlFile {
  name: string
  text: string
}

async function readSqlFiles(folder: URL): Promise<SqlFile[]> {
  const names = await sqlFileNames(folder)
  return Promise.all(
    names.map(async (name) => ({ name, text: await readFile(new URL(name, folder), 'utf8') })),
  )
}

async function sqlFileNames(folder: URL): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort()
}
