import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

/** The page's script and style, each one text, from the sources in `browser/`. */
export async function bundlePage(): Promise<{ script: string; style: string }> {
  const { outputFiles } = await build({
    entryPoints: ['page.tsx', 'page.css'].map((file) =>
      fileURLToPath(new URL(`browser/${file}`, import.meta.url)),
    ),
    outdir: 'out',
    bundle: true,
    write: false,
    minify: true,
    format: 'esm',
    target: 'es2022',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'inline',
    logLevel: 'silent',
  })
  const text = (ending: string) => outputFiles.find(({ path }) => path.endsWith(ending))?.text ?? ''
  return { script: text('.js'), style: text('.css') }
}
