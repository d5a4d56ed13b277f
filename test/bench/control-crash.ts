import { createRandom } from '../../exporter/simulator/random.ts'
import { migrate } from '../../remote-write/postgres/migrate.ts'
import { crash } from '../support/control-crash.ts'
import { startServer } from '../support/server.ts'

export const name = 'control-crash'
export const title = 'Power control, killed 200 times at random moments over a mixed load'
export const long = true
export const goals = [
  { key: 'kills', least: 200, words: 'kills, no transition lost, no reset sent twice' },
]

export async function run(): Promise<Record<string, number>> {
  const server = await startServer({ durable: true })
  try {
    await migrate(server.url)
    const random = createRandom(Number(process.env['SEED'] ?? 1))
    const kills = Number(process.env['KILLS'] ?? 200)
    return { ...(await crash({ kills, bmcs: 40, random: () => random.next() }, server.url)) }
  } finally {
    await server.close()
  }
}
