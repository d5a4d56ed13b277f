import { readFile } from 'node:fs/promises'
import type { Express } from 'express'

interface PageFiles {
  html: string
  script: string
  style: string
}

/**
 * Adds the page at `/`. A release brings it bundled (`npm run build`); from the sources it is
 * bundled at the first request.
 */
export function addPage(app: Express): void {
  let files: Promise<PageFiles> | undefined
  const page = () => {
    files ??= readPage()
    return files
  }
  app.get('/', async (_request, response) => {
    response
      .set('content-security-policy', policy)
      .type('html')
      .send((await page()).html)
  })
  app.get('/page.js', async (_request, response) => {
    response.type('js').send((await page()).script)
  })
  app.get('/page.css', async (_request, response) => {
    response.type('css').send((await page()).style)
  })
}

/** Only what this server gives, and the exports that the page itself makes. */
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; " +
  "img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"

async function readPage(): Promise<PageFiles> {
  const html = await text('browser/index.html')
  const bundled = await Promise.all([text('bundled/page.js'), text('bundled/page.css')]).catch(
    () => undefined,
  )
  if (bundled) return { html, script: bundled[0], style: bundled[1] }
  const { bundlePage } = await import('./bundle.ts')
  return { html, ...(await bundlePage()) }
}

async function text(path: string): Promise<string> {
  return await readFile(new URL(path, import.meta.url), 'utf8')
}
