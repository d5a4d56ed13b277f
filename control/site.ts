import { runSite, type StartContext, superviseService } from './supervise.ts'

/** The address of each service, as a site's settings have it. */
type Sections = Record<string, { web: { listenAddress: string } }>

/** Runs the three services on a site's own settings and PostgreSQL, until the signal. */
export async function startSite(
  settingsFile: string,
  sections: Sections,
  context: StartContext,
): Promise<void> {
  await runSite(context, async (site) => {
    for (const [name, { web }] of Object.entries(sections)) {
      const address = web.listenAddress
      site.say(`  ${name} ${await superviseService(site, { name, settingsFile, address })}`)
    }
  })
}
