import fc from 'fast-check'

/**
 * Property tests try the same cases at every run of one commit, so that a result can be had again;
 * SEED=... tries others.
 */
fc.configureGlobal({ seed: Number(process.env['SEED'] ?? 1) })
