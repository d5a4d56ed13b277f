import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import type { Express, Request, Response } from 'express'

/** What the page is told beside what it asks for; see `browser/facts.ts`. */
export interface PageFacts {
  /** Whose page it is: the record shows what was, control switches. */
  service: 'record' | 'control'
  /** Where the other of the two has its page. */
  otherUrl?: string | undefined
  pricePerKwh?: number | undefined
  currency?: string | undefined
  co2GramsPerKwh?: number | undefined
}

interface PageFile {
  type: string
  plain: Buffer
  gzip: Buffer
  etag: string
}

/**
 * Adds the page at `/`. A release brings it bundled (`npm run build`); from the sources it is
 * bundled at the first request.
 */
export function addPage(app: Express, facts: PageFacts): void {
  let files: Promise<Record<string, PageFile>> | undefined
  const sendFile = (name: string) => async (request: Request, response: Response) => {
    files ??= readPage(facts)
    const file = (await files)[name]
    if (file) send(file, request, response.set('content-security-policy', policy))
  }
  app.get('/', sendFile('index.html'))
  for (const name of ['page.js', 'page.css']) app.get(`/${name}`, sendFile(name))
}

/** Only what this server gives, and the exports that the page itself makes. */
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; " +
  "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** A browser asks each time whether its copy still holds, and gets a new one after an update. */
function send({ type, plain, gzip, etag }: PageFile, request: Request, response: Response): void {
  const packed = request.acceptsEncodings('gzip') !== false
  response.set({
    'cache-control': 'no-cache',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    etag: `"${etag}${packed ? '-gzip' : ''}"`,
  })
  response.vary('accept-encoding').type(type)
  if (request.fresh) response.status(304).end()
  else if (packed) response.set('content-encoding', 'gzip').send(gzip)
  else response.send(plain)
}

async function readPage(facts: PageFacts): Promise<Record<string, PageFile>> {
  const html = await text('browser/index.html')
  const { script, style } = await readBundled()
  return {
    'index.html': pageFile(
      'html',
      html.replace('{}', () => attributeText(facts)),
    ),
    'page.js': pageFile('js', script),
    'page.css': pageFile('css', style),
  }
}

async function readBundled(): Promise<{ script: string; style: string }> {
  const bundled = await Promise.all([text('bundled/page.js'), text('bundled/page.css')]).catch(
    () => undefined,
  )
  if (bundled) return { script: bundled[0], style: bundled[1] }
  const { bundlePage } = await import('./bundle.ts')
  return await bundlePage()
}

function pageFile(type: string, content: string): PageFile {
  const plain = Buffer.from(content)
  const etag = createHash('sha256').update(plain).digest('base64url').slice(0, 16)
  return { type, plain, gzip: gzipSync(plain, { level: 9 }), etag }
}

/** Fit for an attribute in single quotes. */
function attributeText(facts: PageFacts): string {
  return JSON.stringify(facts).replace(/&/g, '&amp;').replace(/'/g, '&#39;').replace(/</g, '&lt;')
}

async function text(path: string): Promise<string> {
  return await readFile(new URL(path, import.meta.url), 'utf8')
}
