import { stopLabRegistry } from './registry.ts'

/** Root hooks of mocha: what tests share ends with the run. */
export const mochaHooks: { afterAll: () => Promise<void> } = { afterAll: stopLabRegistry }
