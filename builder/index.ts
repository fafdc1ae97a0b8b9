export { build } from './build.ts'
export type { BuildOutcome, BuildServices } from './build-services.ts'
export { BuildError, type BuildErrorCode, StepError } from './errors.ts'
export type * from './events.ts'
export type * from './export/exporter.ts'
export type * from './image/built-image.ts'
export {
  ImageStore,
  readStoredImage,
  type StoredImage,
  type StoredPlatform,
} from './image/image-store.ts'
export type * from './request.ts'
