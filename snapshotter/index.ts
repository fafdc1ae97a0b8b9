export type * from './layer/entry.ts'
export type * from './native/kernel-types.ts'
export type * from './snapshotter.ts'
