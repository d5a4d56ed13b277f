import { mkdir, writeFile } from 'node:fs/promises'
import { bundlePage } from './bundle.ts'

/** Bundles the page for a release, where `serve.ts` looks for it. */
const folder = new URL('../../dist/dashboards/page/bundled/', import.meta.url)
const { script, style } = await bundlePage()
await mkdir(folder, { recursive: true })
await writeFile(new URL('page.js', folder), script)
await writeFile(new URL('page.css', folder), style)
