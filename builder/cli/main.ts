#!/usr/bin/env node

// These need a handful of modules: less than a bundle of everything.
const SMALL = /^(--version|-v|version|--help|-h|help)$/

if (SMALL.test(process.argv[2] ?? '')) {
  await (await import('./cli.ts')).ended
} else {
  const { startProgram } = await import('../program.ts')
  await startProgram('cli', () => import('./cli.ts'))
}
