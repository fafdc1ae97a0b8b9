import { redactUrl } from '../ops/http.ts'
import type { ContextLocation } from '../request.ts'

/**
 * What BuildKit calls the step that loads a context that is no directory; undefined: as the graph says. `context` is the main
 * one. No login of a URL is in it.
 */
export function contextTitle(
  name: string,
  location: ContextLocation | undefined,
): string | undefined {
  const isMain = name === 'context'
  switch (location?.kind) {
    case 'git':
      return `[internal] load git source ${redactUrl(location.url)}`
    case 'http':
      return isMain ? REMOTE_TITLE : `[context ${name}] ${redactUrl(location.url)}`
    case 'archive':
      return isMain ? REMOTE_TITLE : undefined
    case 'directory':
    case 'image':
    case 'oci-layout':
    case 'none':
    case undefined:
      return undefined
    default:
      return location satisfies never
  }
}

const REMOTE_TITLE = '[internal] load remote build context'
