/**
 * A client for OCI registries, usable on its own:
 *
 *     await using client = new RegistryClient()
 *     const signal = AbortSignal.timeout(60_000)
 *     const reference = parseReference('127.0.0.1:5000/library/busybox')
 *     const image = await client.resolve(reference, { platform: localPlatform(), signal })
 *     for (const layer of image.image.layers) {
 *       await client.fetchBlob(reference, layer, await blobFileSink(`/tmp/${digestHex(layer.digest)}`), { signal })
 *     }
 *
 * References, digests, manifests and configs are in `oci/index.ts`.
 */
export {
  type Credentials,
  type CredentialSource,
  credentialsFor,
  firstOf,
} from './auth/credentials.ts'
export {
  eraseCredentials,
  type StoredIn,
  type StoreOptions,
  storeCredentials,
} from './auth/login.ts'
export { dockerConfigPath, storedCredentials } from './auth/stored-credentials.ts'
export { BatchedFile } from './batched-file.ts'
export { blobFileSink, blobFileSource } from './blob-file.ts'
export type { BlobProgress, BlobSink, BlobSource, GrowingSource } from './blob-stream.ts'
export { RegistryClient } from './client.ts'
export { configPlatform, type CopyOptions, type CopySource } from './copy.ts'
export { RegistryError, type RegistryErrorCode, type RegistryErrorDetails } from './errors.ts'
export { daemonJson } from './hosts/daemon-json.ts'
export { type HostsFile, hostsToml } from './hosts/hosts-toml.ts'
export { registriesConf } from './hosts/registries-conf.ts'
export {
  directRouting,
  firstRouting,
  type PullSource,
  type Routing,
  type SourceEndpoint,
} from './hosts/routing.ts'
export { systemRouting } from './hosts/system-routing.ts'
export type { RegistryClientOptions } from './host-clients.ts'
export type { FetchBlobOptions } from './pull/blob.ts'
export type { FetchedManifest } from './pull/manifest.ts'
export type { ResolvedImage, ResolveOptions } from './pull/resolve.ts'
export type { BegunUpload, BlobPushResult, PushBlobOptions } from './push/blob.ts'
export { type Clock, systemClock } from './transport/clock.ts'
export { orAborted } from './transport/or-aborted.ts'
export { type Environment, proxyFor } from './transport/proxy.ts'
export { DEFAULT_TIMEOUTS, type TransportTimeouts } from './transport/request.ts'
export { DEFAULT_RETRY_POLICY, type RetryPolicy } from './transport/retry.ts'
export type { HostCertificateFiles } from './transport/tls.ts'
