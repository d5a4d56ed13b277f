/**
 * Loaded into the exporter before it starts, with `--expose-gc`: collects all garbage when told to,
 * so that what is left can be compared, and says aloud what nobody handled.
 */
if (globalThis.gc !== undefined) {
  const { gc } = globalThis
  process.on('SIGUSR2', () => {
    gc()
  })
  process.on('unhandledRejection', (reason) => {
    process.stderr.write(
      `UNHANDLED rejection: ${reason instanceof Error ? reason.stack : reason}\n`,
    )
  })
}
