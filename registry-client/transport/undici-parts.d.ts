/**
 * The modules of undici that request.ts loads one by one: its index takes three times as long to load, most of it for
 * parts (fetch, caches, mocks) that are not used here. The version is pinned, and every test that sends a request
 * notices when these move.
 */
declare module 'undici/lib/dispatcher/agent.js' {
  import { Agent } from 'undici'
  export default Agent
}

declare module 'undici/lib/api/api-request.js' {
  import type { Dispatcher } from 'undici'
  /** What undici's index makes the method `request` of every dispatcher. */
  export default function request(
    this: Dispatcher,
    options: Dispatcher.RequestOptions,
  ): Promise<Dispatcher.ResponseData>
}
